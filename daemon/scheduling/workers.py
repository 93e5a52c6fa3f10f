"""The workers and their leases.

Workers that may take blocks stand on levels, by the number of leases they hold. A block goes to
a worker of the lowest level that has one; so nobody gets a second lease while another one has
none, and neither finding that worker nor moving it depends on how many workers there are.
"""

import sys

from .events import Assign
from .job import MOST_CREDIT

_TICKS_RESERVED = 3


class WorkerState:
    """One worker: its leases in the order in which they were given; the first one runs."""

    __slots__ = ("available", "kill_reason", "leases", "number", "running_since_s", "target")

    def __init__(self, number: int) -> None:
        self.number = number
        self.leases: list[Assign] = []
        self.available = True
        self.running_since_s: float | None = None  # as of the first tick that saw the first lease
        self.target: Assign | None = None  # the lease for which it is being killed
        self.kill_reason = ""


class WorkerPool:
    """All live workers; each may always hold `least_credit` leases."""

    __slots__ = (
        "_expected",
        "_least_credit",
        "_levels",
        "_lowest",
        "_reserved",
        "allowed",
        "busy",
        "kept_blocks",
        "workers",
    )

    def __init__(self, least_credit: int) -> None:
        self._least_credit = least_credit
        self.workers: dict[int, WorkerState] = {}
        self._reserved: dict[int, int] = {}  # worker -> ticks for which it is reserved
        self.busy = 0  # workers that hold a lease
        self._expected = 0  # workers that are to be up
        self.kept_blocks = 0  # a job with no more free blocks than these keeps them for workers that start
        self.allowed = sys.maxsize  # most workers that may hold a lease
        self._levels: list[dict[int, WorkerState]] = [{} for _ in range(MOST_CREDIT + 1)]
        self._lowest = 0  # no worker stands on a lower level; perhaps none on this one either

    def join(self, number: int) -> None:
        """Add a worker without leases."""
        worker = self.workers[number] = WorkerState(number)
        self._levels[0][number] = worker
        self._lowest = 0
        self._keep_blocks()

    def expect(self, count: int) -> None:
        """Set the number of workers that are to be up."""
        self._expected = count
        self._keep_blocks()

    def _keep_blocks(self) -> None:
        self.kept_blocks = self._expected if len(self.workers) < self._expected else 0

    def remove(self, number: int) -> WorkerState | None:
        """Remove a worker, with its leases. Returns None if there is no such worker."""
        worker = self.workers.pop(number, None)
        if worker is not None:
            self.withhold(worker)
            self.busy -= bool(worker.leases)
            self._keep_blocks()
        return worker

    def withhold(self, worker: WorkerState) -> None:
        """Give a worker no more leases."""
        self._reserved.pop(worker.number, None)
        if worker.available:
            worker.available = False
            del self._levels[len(worker.leases)][worker.number]

    def reserve(self, worker: WorkerState) -> None:
        """Keep a worker that has done a probe for the job that follows.

        Otherwise a long block of another job would take it in between.
        """
        if worker.available and not worker.leases:
            self.withhold(worker)
            self._reserved[worker.number] = _TICKS_RESERVED

    def release_all(self) -> None:
        """Let all reserved workers have leases again, because a job has come."""
        for number in self._reserved:
            self._restore(self.workers[number])
        self._reserved.clear()

    def tick(self) -> None:
        """Count down the short time for which workers are reserved."""
        for number in list(self._reserved):
            self._reserved[number] -= 1
            if not self._reserved[number]:
                del self._reserved[number]
                self._restore(self.workers[number])

    def _restore(self, worker: WorkerState) -> None:
        worker.available = True
        self._levels[len(worker.leases)][worker.number] = worker
        self._lowest = 0

    def with_room(self, job: str, credit: int) -> WorkerState | None:
        """A worker with the fewest leases that may hold one more.

        A worker that holds leases of another job gets no more than the least credit: many
        short blocks must not queue behind a long one.

        Parameters
        ----------
        job : str
            The job that gives the lease.
        credit : int
            Most leases of a worker that holds only leases of this job.

        Returns
        -------
        WorkerState or None
            None if no worker has room.
        """
        if self.busy > self.allowed:
            return None
        levels, level = self._levels, self._lowest
        if level == 0 and self.busy == self.allowed:
            level = 1  # nobody else may begin; those that have something may have more
        while not levels[level]:
            level += 1
            if level == MOST_CREDIT:
                return None
        if self.busy < self.allowed:
            self._lowest = level
        worker = next(iter(levels[level].values()))
        if level < self._least_credit:
            return worker
        leases = worker.leases
        if level < credit and leases[0].job == job and leases[-1].job == job:
            return worker
        return None

    def give(self, worker: WorkerState, lease: Assign) -> None:
        """Add a lease to a worker that `with_room` returned.

        Parameters
        ----------
        worker : WorkerState
        lease : Assign
        """
        level = len(worker.leases)
        worker.leases.append(lease)
        if level == 0:
            worker.running_since_s = None
            self.busy += 1
        del self._levels[level][worker.number]
        self._levels[level + 1][worker.number] = worker

    def take(self, number: int, job: str, block: int, attempt: int) -> Assign | None:
        """Remove the lease that an answer names.

        Parameters
        ----------
        number : int
            The worker's number.
        job : str
        block, attempt : int

        Returns
        -------
        Assign or None
            None if there is no such lease.
        """
        worker = self.workers.get(number)
        if worker is None:
            return None
        leases = worker.leases
        index = _index_of(leases, job, block, attempt)
        if index < 0:
            return None
        if index == 0:
            worker.running_since_s = None
        if worker.available:
            level = len(leases) - 1
            del self._levels[level + 1][number]
            self._levels[level][number] = worker
            if level < self._lowest:
                self._lowest = level
        lease = leases.pop(index)
        self.busy -= not leases
        return lease

    def holds(self, number: int, job: str, block: int, attempt: int) -> bool:
        """Test if a worker has a lease.

        Parameters
        ----------
        number : int
            The worker's number.
        job : str
        block, attempt : int

        Returns
        -------
        bool
        """
        worker = self.workers.get(number)
        return worker is not None and _index_of(worker.leases, job, block, attempt) >= 0


def _index_of(leases: list[Assign], job: str, block: int, attempt: int) -> int:
    for index, lease in enumerate(leases):
        if lease.block == block and lease.attempt == attempt and lease.job == job:
            return index
    return -1
