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
        Owner of the user's last job.
    size : int
        Number of workers.
    levels : list of dict of int to WorkerState
        Those with as many leases, by their numbers.
    lowest : int
        No worker stands on a lower level; perhaps none on this one either.
    """

    __slots__ = ("levels", "lowest", "owner", "size", "user")

    def __init__(self, user: Hashable) -> None:
        self.user = user
        self.owner = ""
        self.size = 0
        self.levels: list[dict[int, WorkerState]] = [{} for _ in range(MOST_CREDIT + 1)]
        self.lowest = 0

    def add(self, worker: WorkerState) -> None:
        """Put a worker on the level of its leases."""
        self.size += 1
        level = len(worker.leases)
        self.levels[level][worker.number] = worker
        self.lowest = min(self.lowest, level)

    def remove(self, worker: WorkerState) -> None:
        """Take a worker off its level."""
        self.size -= 1
        del self.levels[len(worker.leases)][worker.number]

    @property
    def with_fewest(self) -> WorkerState | None:
        """A worker with the fewest leases, the one that stands on its level for longest."""
        return next((worker for level in self.levels for worker in level.values()), None)

    @property
    def idle(self) -> WorkerState | None:
        """The worker without a lease that has been so for longest, if there is one."""
        return next(iter(self.levels[0].values()), None)
