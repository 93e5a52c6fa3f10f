"""The workers and their leases.

Each user's jobs have workers of their own, a team. A worker that has never had a lease is nobody's, and
becomes the user of its first one. As long as all jobs are of the same user there is one team.
"""

import sys
from collections.abc import Hashable

from .events import Assign
from .job import MOST_CREDIT, JobState
from .teams import Team, WorkerState

_TICKS_RESERVED = 3


class WorkerPool:
    """All live workers; each may always hold `least_credit` leases."""

    __slots__ = (
        "_expected",
        "_fresh",
        "_least_credit",
        "_own",
        "_reserved",
        "allowed",
        "busy",
        "kept_blocks",
        "teams",
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
        self._own = self._fresh = Team(None)
        self.teams: dict[Hashable, Team] = {None: self._own}

    @property
    def several(self) -> bool:
        """True if there are jobs of several users, so that not every worker may take every block."""
        return self._fresh is not self._own

    def welcome(self, job: JobState) -> None:
        """Have a team for the user of a job."""
        if job.user not in self.teams:
            self.teams[job.user] = Team(job.user)
            if not self.several:
                self._part_with_unused()
        self.teams[job.user].owner = job.owner

    def _part_with_unused(self) -> None:
        """Let those that never had a lease be nobody's: until now all were of one team."""
        self._fresh = Team(None)
        for worker in self.workers.values():
            if worker.unused:
                if worker.available:
                    self._own.remove(worker)
                    self._fresh.add(worker)
                worker.team = self._fresh

    def join(self, number: int) -> None:
        """Add a worker without leases."""
        self.workers[number] = WorkerState(number, self._fresh)
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
            worker.team.remove(worker)

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

        if self.several:
            for worker in self.workers.values():
                worker.idle_ticks += not worker.leases

    def _restore(self, worker: WorkerState) -> None:
        worker.available = True
        worker.team.add(worker)

    @property
    def coming(self) -> int:
        """Number of workers that will be nobody's: in place of those that end, or still starting."""
        leaving = sum(not worker.available for worker in self.workers.values()) - len(self._reserved)
        return max(self._expected - (len(self.workers) - leaving), 0) if self._expected else leaving

    def with_room(self, job: JobState, credit: int) -> WorkerState | None:
        """A worker with the fewest leases that may hold one more, of the job's user or nobody's.

        A worker that holds leases of another job gets no more than the least credit: many
        short blocks must not queue behind a long one.

        Parameters
        ----------
        job : JobState
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
        team = self.teams[job.user] if self._fresh is not self._own else self._own
        levels, level = team.levels, team.lowest
        if self.busy == self.allowed:
            level = max(level, 1)  # nobody else may begin; those that have something may have more
        while not levels[level] and level < MOST_CREDIT:
            level += 1
        if level and self._fresh is not self._own and self.busy < self.allowed and self._fresh.size:
            return self._fresh.idle
        if level == MOST_CREDIT:
            return None
        if self.busy < self.allowed:
            team.lowest = level
        worker = next(iter(levels[level].values()))
        if level < self._least_credit:
            return worker
        leases = worker.leases
        if level < credit and leases[0].job == job.name and leases[-1].job == job.name:
            return worker
        return None

    def held_back(self, user: Hashable) -> bool:
        """Test if there is a worker for a user that may not begin, because enough others are busy."""
        return self.busy >= self.allowed and not (self.teams[user].idle is None and self._fresh.idle is None)

    def give(self, worker: WorkerState, lease: Assign, job: JobState) -> None:
        """Add a lease to a worker that `with_room` returned.

        Parameters
        ----------
        worker : WorkerState
        lease : Assign
        job : JobState
            The job of the lease.
        """
        level = len(worker.leases)
        if level == 0:
            if worker.unused:
                self._employ(worker, job.user)
            worker.running_since_s = None
            worker.idle_ticks = 0
            self.busy += 1
        worker.leases.append(lease)
        levels = worker.team.levels
        del levels[level][worker.number]
        levels[level + 1][worker.number] = worker

    def _employ(self, worker: WorkerState, user: Hashable) -> None:
        """Let a worker that was nobody's be one of a user's, for good."""
        worker.unused = False
        if worker.team is not (team := self.teams[user]):
            worker.team.remove(worker)
            worker.team = team
            team.add(worker)

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
            team, level = worker.team, len(leases) - 1
            del team.levels[level + 1][number]
            team.levels[level][number] = worker
            if level < team.lowest:
                team.lowest = level
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
