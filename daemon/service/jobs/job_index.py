"""The jobs of a service as its table keeps them: looked up, listed, counted, changed.

Pure. Each change of a job makes a new record, gives it the next number of `seen`, and notes it for the
journal; `progress` alone is not journaled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ....shared.errors import Refused
from ....shared.messages.records import JobInfo, State
from ...journal.records import JobRecord, order_to_show
from .clashes import JobFiles, JobFilesTable
from .dependencies import ancestors, no_such_job, state_text
from .job_store import JobStore

_SEEN_STEP = 1 << 32


class JobIndex:
    """Jobs by number, by the tokens of their submissions, and those that have not ended.

    Parameters
    ----------
    records : iterable of JobRecord
        The journaled jobs.
    last_id : int
        Largest number that was ever given.

    Attributes
    ----------
    active : set of int
        Jobs that are running or being cancelled.
    last_id : int
        Largest number that was ever given.
    files : JobFilesTable
        The files that jobs read and write.
    """

    def __init__(self, records: Iterable[JobRecord] = (), *, last_id: int = 0) -> None:
        self.active: set[int] = set()
        self._jobs = JobStore()
        self._tokens: dict[str, int] = {}
        self._seen, self.last_id = 0, last_id
        for job_record in records:
            info = job_record.info
            self._jobs[info.id], self._tokens[job_record.token] = job_record, info.id
            self._seen, self.last_id = max(self._seen, info.seen), max(self.last_id, info.id)
        self._seen += _SEEN_STEP  # beyond what a client may have seen before the restart, progress included
        self._changed: set[int] = set()
        self.files = JobFilesTable()

    @property
    def _open(self) -> Mapping[int, JobRecord]:
        """The jobs that have not ended."""
        return self._jobs.open

    def __contains__(self, number: int) -> bool:
        return number in self._jobs

    def get(self, number: int) -> JobRecord:
        """The job of this number.

        Raises
        ------
        NoSuchJob
        """
        job_record = self._jobs.get(number)
        if job_record is None:
            raise no_such_job(number)
        return job_record

    def list(
        self, states: tuple[State, ...] = (), label: str | None = None, limit: int = 100
    ) -> list[JobInfo]:
        """List jobs: active ones first, then queued ones in their order, then the newest ended ones.

        Parameters
        ----------
        states : tuple of str
            States to list; empty: all.
        label : str, optional
            Only jobs with this label.
        limit : int
            Most ended jobs to list.

        Returns
        -------
        list of JobInfo
        """

        def matches(info: JobInfo) -> bool:
            return (not states or info.state in states) and (label is None or info.label == label)

        alive = sorted((r.info for r in self._open.values() if matches(r.info)), key=order_to_show)
        if limit <= 0:
            return alive  # without a pass over all ended jobs, because this is called often
        return alive + self._jobs.newest_ended(states, label, limit)

    def find(
        self, owner: int, name: str | None = None, label: str | None = None, *, ended: bool | None = None
    ) -> list[JobInfo]:
        """The jobs that a user means by a name or a label, in the order of their numbers.

        Parameters
        ----------
        owner : int
            The user's number.
        name, label : str, optional
            By a name that none of the user's jobs has, those of others are meant.
        ended : bool, optional
            Only jobs that have ended, or that have not.

        Returns
        -------
        list of JobInfo
        """
        numbers = self._jobs.matching(name, label, ended)
        own = [number for number, of_owner in numbers if of_owner == owner]
        found = own if own or name is None else [number for number, _ in numbers]
        return [self._jobs[number].info for number in sorted(found)]

    def has_token(self, token: str, owner: int) -> bool:
        """Test if a submission with this token has come before.

        Parameters
        ----------
        token : str
        owner : int
            The caller's user number.

        Returns
        -------
        bool

        Raises
        ------
        Refused
            If it was another user's submission.
        """
        if (number := self._tokens.get(token)) is None:
            return False
        if self._jobs[number].info.owner != owner:
            raise Refused("this submission's token is another user's; submit again")
        return True

    def counts(self) -> tuple[int, int]:
        """Number of running jobs, and number of waiting ones."""
        return len(self.active), len(self._open) - len(self.active)

    def open_jobs(self, owner: int) -> tuple[int, int]:
        """Number of jobs that have not ended: of all users, and of one user."""
        return len(self._open), sum(job_record.info.owner == owner for job_record in self._open.values())

    def open_blocks(self, owner: int) -> int:
        """Number of unfinished blocks of a user's jobs; jobs that are not planned yet count as 0."""
        infos = (job_record.info for job_record in self._open.values() if job_record.info.owner == owner)
        return sum((info.blocks or 0) - info.done for info in infos)

    def take_changes(self) -> list[JobRecord]:
        """The jobs that have changed since the last call, to be journaled.

        One without a spec was put aside: what the journal has of it stays as it is.
        """
        changed, self._changed = self._changed, set()
        records = (self._jobs[number] for number in sorted(changed) if number in self._jobs)
        return [job_record for job_record in records if job_record.spec]

    def journal_again(self, number: int) -> None:
        """Mark a job as changed, because the journal could not be written."""
        if number in self._jobs:
            self._changed.add(number)

    def check_clashes(self, output: str, files: JobFiles | None, predecessors: tuple[int, ...]) -> None:
        """Check that a job does not clash on disk with one that has not ended and that it does not follow.

        Parameters
        ----------
        output : str
            Address of its output.
        files : JobFiles or None
            None: they are unknown.
        predecessors : tuple of int
            Jobs that it follows.

        Raises
        ------
        Refused
        """
        ancestor_ids = ancestors(self._jobs, predecessors)
        for number, job_record in self._open.items():
            if number in ancestor_ids:
                continue
            if (clash := self.files.clash(files, output, job_record.info)) is not None:
                raise Refused(
                    f"job {number} ({job_record.info.name}), which has not ended, {clash}; "
                    f"name another output, or submit with --after {number}"
                )

    def set_priority(self, number: int, priority: int) -> JobRecord:
        """Change the priority of a job that has not ended.

        Parameters
        ----------
        number, priority : int

        Returns
        -------
        JobRecord

        Raises
        ------
        NoSuchJob, Refused
        """
        if (info := self.get(number).info).ended:
            raise Refused(f"job {number} has ended as {state_text(info.state)}")
        return self._change(number, priority=priority)

    def _change(self, number: int, *, journal: bool = True, **fields: Any) -> JobRecord:
        self._seen += 1
        job_record = self._jobs[number]
        info = msgspec.structs.replace(job_record.info, **fields, seen=self._seen)
        job_record = msgspec.structs.replace(job_record, info=info)
        self._jobs[number] = job_record
        if journal:
            self._changed.add(number)
        return job_record
