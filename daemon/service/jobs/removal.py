"""Jobs that are forgotten: old ones by themselves, ended ones on request; outputs are never touched."""

from __future__ import annotations

from collections.abc import Iterable

from ....shared.errors import Refused
from ...journal.records import JobRecord
from .dependencies import state_text
from .job_index import JobIndex

MOST_KEPT = 100_000
"""Most ended jobs that are kept; each takes about half a KiB of memory."""


class RemovableJobs(JobIndex):
    """Jobs of which ended ones can be forgotten. Their numbers are not given again."""

    def prune(self, now_s: float, keep_s: float, most: int = MOST_KEPT) -> list[int]:
        """Forget old jobs, except those that a kept job follows: it may be retried, and needs their states.

        Parameters
        ----------
        now_s : float
            Seconds since the epoch.
        keep_s : float
            Jobs that ended longer ago are forgotten.
        most : int
            Most ended jobs to keep.

        Returns
        -------
        list of int
            The forgotten jobs.
        """
        expired = self._jobs.expired(now_s - keep_s, most)
        for number in expired:
            self._forget(number)
        return expired

    def _forget(self, number: int) -> JobRecord:
        job_record = self._jobs.pop(number)
        self._tokens.pop(job_record.token, None)
        self._changed.discard(number)
        self.files.forget(number)
        return job_record

    def remove(self, numbers: Iterable[int]) -> list[JobRecord]:
        """Forget some jobs, all of which have ended. Returns their records, for `restore`.

        Raises
        ------
        NoSuchJob, Refused
            If one is unknown or has not ended, or a job that stays would take it for done; then nothing has
            changed.
        """
        numbers = dict.fromkeys(numbers)
        for number in numbers:
            if not (info := self.get(number).info).ended:
                raise Refused(
                    f"job {number} is {state_text(info.state)}; cancel it first: blockmill cancel {number}"
                )
        for number, follower in self._needed(set(numbers)).items():
            raise Refused(
                f"job {number} is not done, and job {follower} comes after it: without job {number} it would "
                f"no longer wait; remove both, or job {follower} first"
            )
        return [self._forget(number) for number in numbers]

    def remove_ended(self, owner: int, label: str | None = None) -> list[JobRecord]:
        """Forget the ended jobs of a user, except those that a job which stays needs.

        Parameters
        ----------
        owner : int
            The user's number.
        label : str, optional
            Only jobs with this label.

        Returns
        -------
        list of JobRecord
        """
        numbers = {info.id for info in self.find(owner, label=label, ended=True)}
        while needed := self._needed(numbers):
            numbers -= needed.keys()
        return [self._forget(number) for number in sorted(numbers)]

    def _needed(self, numbers: set[int]) -> dict[int, int]:
        """Those of some jobs that are not done and that another job follows, with the number of that one.

        A predecessor that is not known any more counts as done.
        """
        return {
            before: follower
            for before, follower in self._jobs.followers()
            if before in numbers and follower not in numbers and not self._jobs.is_done(before)
        }

    def restore(self, job_records: Iterable[JobRecord]) -> None:
        """Take back jobs that `remove` has forgotten, because the journal could not be written."""
        for job_record in job_records:
            self._jobs[job_record.info.id] = job_record
            self._tokens[job_record.token] = job_record.info.id
