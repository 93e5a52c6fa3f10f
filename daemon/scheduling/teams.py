"""Workers that may take blocks of the same jobs, on levels by the number of leases that they hold.

A block goes to a worker of the lowest level that has one; so nobody gets a second lease while another
one has none, and neither finding that worker nor moving it depends on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Hashable

from .events import Assign
from .job import MOST_CREDIT


class WorkerState:
    """One worker: its leases in the order in which they were given; the first one runs."""

    __slots__ = (
        "available",
        "idle_ticks",
        "kill_reason",
        "leases",
        "number",
        "running_since_s",
        "target",
        "team",
        "unused",
    )

    def __init__(self, number: int, team: Team) -> None:
        self.number = number
        self.leases: list[Assign] = []
        self.available = True
        self.unused = True  # it never had a lease
        self.idle_ticks = 0  # since it had one
        self.running_since_s: float | None = None  # as of the first tick that saw the first lease
        self.target: Assign | None = None  # the lease for which it is being killed
        self.kill_reason = ""
        self.team = team
        team.add(self)


class Team:
    """The available workers of one user, or those that are nobody's yet.

    Attributes
    ----------
    user : hashable
    owner : str
        Owner of the last job of which one of them was given a block.
    size : int
        Number of workers.
    """

    __slots__ = ("_lowest", "levels", "owner", "size", "user")

    def __init__(self, user: Hashable) -> None:
        self.user = user
        self.owner = ""
        self.size = 0
        self.levels: list[dict[int, WorkerState]] = [{} for _ in range(MOST_CREDIT + 1)]
        self._lowest = 0  # no worker stands on a lower level; perhaps none on this one either

    def add(self, worker: WorkerState) -> None:
        """Put a worker on the level of its leases."""
        self.size += 1
        level = len(worker.leases)
        self.levels[level][worker.number] = worker
        self._lowest = min(self._lowest, level)

    def remove(self, worker: WorkerState) -> None:
        """Take a worker off its level."""
        self.size -= 1
        del self.levels[len(worker.leases)][worker.number]

    def has_changed(self, worker: WorkerState, before: int) -> None:
        """Move a worker that had `before` leases to its level."""
        levels, level = self.levels, len(worker.leases)
        del levels[before][worker.number]
        levels[level][worker.number] = worker
        if level < self._lowest:
            self._lowest = level

    def with_fewest(self, may_begin: bool = True) -> WorkerState | None:
        """A worker with the fewest leases, the one that stands on its level for longest.

        Parameters
        ----------
        may_begin : bool
            Whether it may be one without a lease.

        Returns
        -------
        WorkerState or None
            None if there is none with less than the most leases.
        """
        levels, level = self.levels, self._lowest
        if level == 0 and not may_begin:
            level = 1
        while not levels[level]:
            level += 1
            if level == MOST_CREDIT:
                return None
        if may_begin:
            self._lowest = level
        return next(iter(levels[level].values()))

    @property
    def idle(self) -> WorkerState | None:
        """The worker without a lease that has been so for longest, if there is one."""
        return next(iter(self.levels[0].values()), None)
