"""Choice of the job that gives the next block: by priority, then by fair share of owners, then the smallest.

Each owner has a virtual time, as in the Linux scheduler CFS: the worker seconds that it has
used. Among owners with a job of the highest priority the one with the least goes next. One that
comes back after a rest is lifted to the least of those at work, so that nobody saves up.
"""

from __future__ import annotations

from bisect import insort

from .job import JobState


class _Owner:
    """One owner's queued jobs by priority, each list smallest job first."""

    __slots__ = ("levels", "used_s")

    def __init__(self) -> None:
        self.used_s = 0.0
        self.levels: dict[int, list[JobState]] = {}


class FairShare:
    """Run queue: priority, then the owner with least worker time, then the smallest job."""

    def __init__(self) -> None:
        self._owners: dict[str, _Owner] = {}
        self._resting: dict[str, float] = {}  # used seconds of owners without a queued job
        self._floor_s = 0.0

    def add(self, job: JobState) -> None:
        """Queue a job."""
        job.queued = True
        owner = self._owners.get(job.owner)
        if owner is None:
            owner = self._owners[job.owner] = _Owner()
            owner.used_s = max(self._resting.pop(job.owner, 0.0), self._floor_s)
        insort(owner.levels.setdefault(job.priority, []), job, key=_rank)

    def remove(self, job: JobState) -> None:
        """Take a job out of the queue, under the priority with which it was added."""
        job.queued = False
        owner = self._owners[job.owner]
        level = owner.levels[job.priority]
        level.remove(job)
        if not level:
            del owner.levels[job.priority]
        if not owner.levels:
            self._resting[job.owner] = owner.used_s
            del self._owners[job.owner]

    def choose(self) -> JobState | None:
        """The job that gives the next block; those that can't give one now leave the queue."""
        while self._owners:
            owner = self._next_owner()
            job = owner.levels[max(owner.levels)][0]
            if job.can_start():
                self._floor_s = max(self._floor_s, owner.used_s)
                return job
            self.remove(job)
        return None

    def _next_owner(self) -> _Owner:
        owners = self._owners.values()
        if len(owners) == 1:
            return next(iter(owners))
        highest = max(max(owner.levels) for owner in owners)
        return min((o for o in owners if highest in o.levels), key=_used_s)

    def charge(self, owner: str, seconds: float) -> None:
        """Add seconds of a worker's time to what an owner has used.

        Parameters
        ----------
        owner : str
        seconds : float
            Negative to correct an earlier estimate.
        """
        if (active := self._owners.get(owner)) is not None:
            active.used_s += seconds
        elif owner in self._resting:
            self._resting[owner] += seconds


def _rank(job: JobState) -> tuple[int, int]:
    return job.rank


def _used_s(owner: _Owner) -> float:
    return owner.used_s
