"""Choice of the job that gives the next block: by priority, then by fair share of owners, then the smallest.

Each owner has a virtual time, as in the Linux scheduler CFS: the worker seconds that it has
used. Among owners with a job of the highest priority the one with the least goes next. One that
comes back after a rest is lifted to the least of those at work, so that nobody saves up.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Hashable

from .job import JobState


class _Owner:
    """One owner's queued jobs by priority, each list smallest job first."""

    __slots__ = ("levels", "used_s")

    def __init__(self) -> None:
        self.used_s = 0.0
        self.levels: dict[int, list[JobState]] = {}

    def first(self, without: Collection[Hashable]) -> JobState | None:
        """The job whose turn it is among those of this owner, but for those of some users."""
        in_turn = (job for level in sorted(self.levels, reverse=True) for job in self.levels[level])
        return next((job for job in in_turn if job.user not in without), None)


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

    def choose(self, without: Collection[Hashable] = ()) -> JobState | None:
        """The job that gives the next block; those that can't give one now leave the queue.

        Parameters
        ----------
        without : collection of hashable
            Users whose jobs are passed over, because no worker has room for them.

        Returns
        -------
        JobState or None
            None if there is no such job.
        """
        if without:
            return self._choose_without(without)
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

    def _choose_without(self, users: Collection[Hashable]) -> JobState | None:
        """As `choose`; newcomers are not lifted to the time of this owner, which is not the least of all."""
        while True:
            first: tuple[float, float, JobState] | None = None
            for owner in self._owners.values():
                job = owner.first(users)
                if job is not None and (first is None or (-job.priority, owner.used_s) < first[:2]):
                    first = (-job.priority, owner.used_s, job)
            if first is None:
                return None
            if first[2].can_start():
                return first[2]
            self.remove(first[2])

    def used_s(self, owner: str) -> float:
        """The virtual time of an owner, in seconds."""
        active = self._owners.get(owner)
        return self._resting.get(owner, 0.0) if active is None else active.used_s

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
