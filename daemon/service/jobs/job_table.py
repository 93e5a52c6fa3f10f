"""The table of jobs: the changes of their states, and the choice of the next one to start.

Pure: times are parameters, and the only results are records. The life of a job::

    queued <--> running --> done | done_with_failures | failed | cancelled
      |  ^         |              |
      |  |         +-> cancelling-+--> cancelled
      |  +------------ retry -----+
      +--------------------------> cancelled

A job waits until it is accepted, that is, until it is in the journal. It follows the jobs in its `after`:
it starts when all of them are done, and is cancelled when one of them ends otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ....shared.errors import Refused
from ....shared.messages.records import JobInfo, State
from ...journal.records import JobRecord
from .clashes import JobFiles
from .dependencies import predecessors, state_text, unfinished, waiting_reason
from .pauses import PausableJobs

_RESTARTED = "the service was restarted"
_RUN_COUNTS: dict[str, Any] = {
    "done": 0,
    "skipped": 0,
    "failed": 0,
    "running": 0,
    "retries": 0,
    "voxels": 0,
    "bytes_read": 0,
    "bytes_written": 0,
    "seconds": 0.0,
    "eta_s": None,
}


class JobTable(PausableJobs):
    """All jobs of a service.

    Parameters
    ----------
    records : iterable of JobRecord
        The journaled jobs; one that was running is queued again.
    last_id : int
        Largest number that was ever given.
    paused_all : str
        Start no jobs, and say so as in `JobInfo.paused_by`; empty: start some.
    """

    def __init__(self, records: Iterable[JobRecord] = (), *, last_id: int = 0, paused_all: str = "") -> None:
        super().__init__(records, last_id=last_id, paused_all=paused_all)
        self._unaccepted: set[int] = set()
        for job_record in list(self._open.values()):
            self._take_up(job_record.info.id, job_record)

    def _take_up(self, number: int, job_record: JobRecord) -> None:
        state = job_record.info.state
        if state == "running":
            self._change(number, state="queued", reason=_RESTARTED, running=0, eta_s=None)
        elif state == "queued" and job_record.info.reason and job_record.spec:  # of the service before
            self._change(number, reason=waiting_reason(self._jobs, job_record.info))
        elif state == "cancelling":
            self.active.add(number)
        if self.paused_all:
            self._change(number, **self._paused_with_all())

    # -- new jobs -------------------------------------------------------------------

    def submit(
        self,
        spec: dict[str, Any],
        *,
        name: str,
        owner: int,
        output: str,
        token: str,
        now_s: float,
        priority: int = 0,
        label: str = "",
        after: tuple[int | str, ...] = (),
        overwrite: bool = False,
        keep_finished: bool = False,
        file: str = "",
        files: JobFiles | None = None,
    ) -> JobRecord:
        """Add a job, which waits for `accept`. If the token was used before, return its job instead.

        Parameters
        ----------
        spec, token, overwrite, keep_finished, file
            As in `JobRecord`.
        name, owner, output, priority, label
            As in `JobInfo`.
        now_s : float
            Seconds since the epoch.
        after : tuple of int or str
            Jobs that it follows: a number, or the name of the owner's newest job of this name.
        files : JobFiles, optional
            None: they are unknown.

        Returns
        -------
        JobRecord

        Raises
        ------
        Refused
            If it follows a job that is unknown or has failed, or clashes on disk with one that has not
            ended and that it does not follow.
        """
        if token in self._tokens:
            return self._jobs[self._tokens[token]]
        before = predecessors(self._jobs, after, owner)
        self.check_clashes(output, files, before)
        self.last_id += 1
        self.files.note(self.last_id, files)
        info = JobInfo(
            id=self.last_id,
            name=name,
            owner=owner,
            output=output,
            submitted_s=now_s,
            label=label,
            priority=priority,
            after=before,
        )
        job_record = JobRecord(
            info=info, spec=spec, token=token, overwrite=overwrite, keep_finished=keep_finished, file=file
        )
        self._jobs[info.id] = job_record
        self._tokens[token] = info.id
        self._unaccepted.add(info.id)
        return self._change(info.id, reason=waiting_reason(self._jobs, info), **self._paused_with_all())

    def accept(self, number: int) -> None:
        """Let a job start, because it is in the journal."""
        self._unaccepted.discard(number)

    def is_accepted(self, number: int) -> bool:
        """Test if a job has been accepted, or has ended before that."""
        return number not in self._unaccepted

    def withdraw(self, number: int, now_s: float) -> list[int]:
        """Forget a job that was never accepted, and end those that follow it.

        Parameters
        ----------
        number : int
        now_s : float
            Seconds since the epoch.

        Returns
        -------
        list of int
            The jobs that have ended.
        """
        self._unaccepted.discard(number)
        reason = f"job {number}, which it follows, could not be accepted"
        ended = self._end_followers(number, reason, now_s)
        self._forget(number)
        return ended

    # -- running jobs ---------------------------------------------------------------

    def next_to_start(self, now_s: float, most_active: int) -> JobRecord | None:
        """Mark the next job as running.

        Parameters
        ----------
        now_s : float
            Seconds since the epoch.
        most_active : int
            Most jobs that may be active.

        Returns
        -------
        JobRecord or None
            None if no job may start.
        """
        if self.paused_all or len(self.active) >= most_active:
            return None
        ready = [r.info for r in self._open.values() if r.info.state == "queued" and self._may_start(r.info)]
        if not ready:
            return None
        info = min(ready, key=lambda candidate: (-candidate.priority, candidate.id))
        self.active.add(info.id)
        started_s = now_s if info.started_s is None else info.started_s
        return self._change(
            info.id,
            state="running",
            reason="",
            runs=info.runs + 1,
            started_s=started_s,
            ended_s=None,
        )

    def hold_back(self, reason: str) -> bool:
        """Give all jobs that could start now the reason why they don't. Returns True if one had another."""
        waiting = [
            r.info for r in self._open.values() if r.info.state == "queued" and self._may_start(r.info)
        ]
        news = [info.id for info in waiting if info.reason != reason]
        for number in news:
            self._change(number, reason=reason)
        return bool(news)

    def _may_start(self, info: JobInfo) -> bool:
        return not info.paused and info.id not in self._unaccepted and not unfinished(self._jobs, info)

    def note_plan(self, number: int, blocks: int, done: int) -> None:
        """Note the number of blocks of a job whose run has begun.

        From now on the output is this job's own, and is not replaced by a later run. Until now the
        counts are those of the run before: a run that is refused changes none of them.

        Parameters
        ----------
        number : int
        blocks : int
            Number of all blocks.
        done : int
            Number of blocks that were finished before.
        """
        job_record = self._jobs[number]
        self._jobs[number] = msgspec.structs.replace(job_record, overwrite=False)
        self._change(number, **_RUN_COUNTS)
        self._change(number, blocks=blocks, done=done, skipped=done)

    def progress(self, number: int, **counts: Any) -> None:
        """Note the counts of a run; equal counts are no change.

        Parameters
        ----------
        number : int
        **counts
            Fields of `JobInfo`.
        """
        info = self._jobs[number].info
        if any(getattr(info, key) != value for key, value in counts.items()):
            self._change(number, journal=False, **counts)

    def end(self, number: int, outcome: State, reason: str, now_s: float, **counts: Any) -> list[int]:
        """Note the end of a job; if it is not done, the jobs that follow it are cancelled.

        Parameters
        ----------
        number : int
        outcome : str
            The final state.
        reason : str
        now_s : float
            Seconds since the epoch.
        **counts
            Other fields of `JobInfo`.

        Returns
        -------
        list of int
            The jobs that have ended: this one and its followers.
        """
        self.active.discard(number)
        self._unaccepted.discard(number)
        self._change(number, state=outcome, reason=reason, ended_s=now_s, **counts)
        self.files.forget(number)  # a retry looks them up again
        if outcome == "done":
            self._tell_followers(number)
            return [number]
        return [number, *self._cancel_followers(number, now_s)]

    def _tell_followers(self, number: int) -> None:
        for follower, job_record in list(self._open.items()):
            if number in job_record.info.after and job_record.info.state == "queued":
                self._change(follower, reason=waiting_reason(self._jobs, job_record.info))

    def _cancel_followers(self, number: int, now_s: float) -> list[int]:
        info = self._jobs[number].info
        reason = f"job {number} ({info.name}), which it follows, ended as {state_text(info.state)}"
        return self._end_followers(number, reason, now_s)

    def _end_followers(self, number: int, reason: str, now_s: float) -> list[int]:
        followers = [n for n, r in self._open.items() if number in r.info.after and r.info.state == "queued"]
        ended: list[int] = []
        for follower in followers:
            if follower in self._open:
                ended += self.end(follower, "cancelled", reason, now_s)
        return ended

    def put_back(self, number: int, reason: str) -> None:
        """Queue a job again whose run was cut short, unless it is being cancelled.

        Parameters
        ----------
        number : int
        reason : str
        """
        if self._jobs[number].info.state == "running":
            self.active.discard(number)
            self._change(
                number, state="queued", reason=reason, running=0, eta_s=None, **self._paused_with_all()
            )

    # -- requests of users ----------------------------------------------------------

    def cancel(self, number: int, now_s: float) -> list[int] | None:
        """End a job.

        Parameters
        ----------
        number : int
        now_s : float
            Seconds since the epoch.

        Returns
        -------
        list of int or None
            The jobs that have ended; None if its run must be ended first.

        Raises
        ------
        Refused
            If it has ended.
        """
        info = self.get(number).info
        if info.ended:
            raise Refused(f"job {number} has ended as {state_text(info.state)}; there is nothing to cancel")
        if info.state == "queued":
            return self.end(number, "cancelled", "cancelled on request", now_s)
        if info.state == "running":
            self._change(number, state="cancelling", reason="cancelled on request")
        return None

    def retry(
        self,
        number: int,
        failed_only: bool,
        *,
        files: JobFiles | None = None,
        keep_finished: bool = False,
        edited: tuple[dict[str, Any], str] | None = None,
    ) -> JobRecord:
        """Queue an ended job again, for its unfinished blocks.

        Parameters
        ----------
        number : int
        failed_only : bool
            Only for the blocks that failed.
        files : JobFiles, optional
            What it reads and writes by now; None: it is unknown.
        keep_finished : bool
            Keep finished blocks, though the user's code has changed since.
        edited : (dict, str), optional
            What to do from now on: `spec` and `file` as in `JobRecord`; None: what was submitted.

        Returns
        -------
        JobRecord

        Raises
        ------
        Refused
            If it has not ended or is done, or clashes on disk with another job by now; with
            `failed_only` also if no block has failed.
        """
        info = self.get(number).info
        if not info.ended:
            raise Refused(f"job {number} is {state_text(info.state)}; it can be retried when it has ended")
        if not self._jobs[number].spec:
            raise Refused(f"job {number} can't be retried: {info.reason}")
        if info.state == "done":
            raise Refused(f"job {number} is done; submit it again with --overwrite to do it anew")
        if failed_only and not info.failed:
            raise Refused(f"job {number} has no failed blocks; retry it without --failed")
        self.check_clashes(info.output, files, info.after)
        # If only failed blocks are unfinished, the run is like any other and can end as done.
        is_partial = failed_only and info.done + info.failed < (info.blocks or 0)
        job_record = msgspec.structs.replace(
            self._jobs[number], failed_only=is_partial, keep_finished=keep_finished
        )
        if edited is not None:
            spec, file = edited
            job_record = msgspec.structs.replace(job_record, spec=spec, file=file)
        self.files.note(number, files)
        self._jobs[number] = job_record
        pause = {"paused": False, "paused_by": "", **self._paused_with_all()}
        job_record = self._change(number, state="queued", ended_s=None, reason="", **pause)
        return self._change(number, reason=waiting_reason(self._jobs, job_record.info))
