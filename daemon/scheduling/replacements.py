"""Choice of a worker that is given up, so that a fresh one can serve another user.

A replacement costs some milliseconds of a worker, far more than many a block takes. So users do not take
turns block by block, as the jobs of one user do: each has a share of the workers, and shares move when
one owner has got ahead by more time than a replacement costs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from .fair_share import FairShare
from .job import JobState
from .teams import Team, WorkerState
from .workers import WorkerPool

LEAD_S = 1.0
"""Worker time by which an owner may be ahead of one who has as many workers."""
_TICKS_IDLE = 3
"""A worker that was idle for so long is given up, though its user has blocks: they may wait for merges."""
_TICKS_WITHOUT = 5
"""Whoever has had no worker for so long, and no more time than others, has waited enough: the time of very
short blocks, which is for the most part not theirs, would hardly make a lead."""


class Replacements:
    """Chooses workers to be replaced.

    Parameters
    ----------
    pool : WorkerPool
    fair_share : FairShare
        Knows how much time each owner has had.
    """

    def __init__(self, pool: WorkerPool, fair_share: FairShare) -> None:
        self._pool = pool
        self._fair_share = fair_share
        self._jobs: dict[Hashable, dict[str, JobState]] = {}
        self._ticks_without: dict[Hashable, int] = {}  # users that wait and have no worker

    def tick(self) -> None:
        """Count the time for which users have been without a worker."""
        waiting, teams = self._ticks_without.items(), self._pool.teams
        self._ticks_without = {
            user: ticks + 1 for user, ticks in waiting if user in self._jobs and not teams[user].size
        }

    def add(self, job: JobState) -> None:
        """Take in a job of some user."""
        self._jobs.setdefault(job.user, {})[job.name] = job

    def remove(self, job: JobState) -> None:
        """Forget a job that has ended."""
        jobs = self._jobs[job.user]
        del jobs[job.name]
        if not jobs:
            del self._jobs[job.user]

    def choose(self, job: JobState, coming: int) -> WorkerState | None:
        """A worker to be replaced, so that a job finds a fresh one.

        Parameters
        ----------
        job : JobState
            Has a block to give, for which no worker has room.
        coming : int
            Number of fresh workers that are on their way.

        Returns
        -------
        WorkerState or None
            None if the job has no right to one.
        """
        others = self._others(job.user)
        if (idle := next(self._idle(others), None)) is not None:
            return idle
        size = self._pool.teams[job.user].size
        if size == 0:
            self._ticks_without.setdefault(job.user, 0)
        owing = [team for team in others if self._owes(team, job, size + coming)]
        most = max(owing, key=lambda team: (team.size, self._lead_s(team, job)), default=None)
        return None if most is None else most.with_fewest

    def idle_of_others(self, user: Hashable) -> WorkerState | None:
        """Any worker of another user that has nothing to do at this moment."""
        return next((idle for team in self._others(user) if (idle := team.idle) is not None), None)

    def _others(self, user: Hashable) -> list[Team]:
        return [team for team in self._pool.teams.values() if team.size and team.user != user]

    def _idle(self, teams: list[Team]) -> Iterator[WorkerState]:
        """Workers for which there are no blocks."""
        for team in teams:
            worker = team.idle
            if worker is not None and (
                worker.idle_ticks >= _TICKS_IDLE or self._top_priority(team.user) is None
            ):
                yield worker

    def _owes(self, team: Team, job: JobState, have: int) -> bool:
        """Test if a user at work is to give up a worker for a job whose user has, or will have, `have`."""
        priority = self._top_priority(team.user)
        if priority is None:
            return False  # its last blocks run, and its workers will be idle then
        if priority != job.priority:
            return priority < job.priority
        lead_s = self._lead_s(team, job)
        if lead_s < 0:
            return False
        has_waited = have == 0 and self._ticks_without.get(job.user, 0) >= _TICKS_WITHOUT
        return team.size >= have + 2 or (team.size >= have and (lead_s > LEAD_S or has_waited))

    def _lead_s(self, team: Team, job: JobState) -> float:
        return self._fair_share.used_s(team.owner) - self._fair_share.used_s(job.owner)

    def _top_priority(self, user: Hashable) -> int | None:
        """The highest priority of a user's jobs that have blocks to give, now or later; None if none has."""
        return max((job.priority for job in self._jobs.get(user, {}).values() if job.has_work), default=None)
