"""The table of jobs: what each one is waiting for, and what may be started next.

Pure: the time comes in, nothing goes out but records. Each change of a job makes a new record, gives it
the next number of `seen`, and notes it for the journal; `progress` alone is not journaled. The
life of a job::

    queued <--> running --> done | done_with_failures | failed | cancelled
      |  ^         |              |
      |  |         +-> cancelling-+--> cancelled
      |  +------------ retry -----+
      +--------------------------> cancelled

A job waits until it was accepted, which is when the journal has it. It follows those in its `after`: it
starts when all are done, and is cancelled when one ends otherwise.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

import msgspec

from ....shared.errors import Refused
from ....shared.messages.records import ENDED, JobInfo, State
from ...journal.records import JobRecord, age_to_show, order_to_show
from .clashes import JobFiles, JobFilesTable
from .dependencies import ancestors, no_such_job, predecessor, state_text, unfinished, waiting_reason

MOST_KEPT = 100_000
"""Ended jobs that are remembered; each costs about 2 KiB of memory."""
_SEEN_STEP = 1 << 32
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


class JobTable:
    """All jobs of a service.

    Parameters
    ----------
    records : iterable of JobRecord
        As journaled; what was running then is queued again.
    last_id : int
        Largest number that was ever given.
    paused_all : bool
        Start nothing.

    Attributes
    ----------
    active : set of int
        Jobs that are running or being cancelled.
    last_id : int
        Largest number that was ever given.
    files : JobFilesTable
        Where jobs read and write.
    """

    def __init__(
        self, records: Iterable[JobRecord] = (), *, last_id: int = 0, paused_all: bool = False
    ) -> None:
        self.paused_all = paused_all
        self.active: set[int] = set()
        self._jobs: dict[int, JobRecord] = {job_record.info.id: job_record for job_record in records}
        self._open: dict[int, JobRecord] = {}  # those that have not ended
        self._tokens = {job_record.token: number for number, job_record in self._jobs.items()}
        self.last_id = max([last_id, *self._jobs])
        # Beyond what a client may have seen before the restart, progress included.
        self._seen = max((job_record.info.seen for job_record in self._jobs.values()), default=0) + _SEEN_STEP
        self._changed: set[int] = set()
        self._unaccepted: set[int] = set()
        self.files = JobFilesTable()
        for number, job_record in list(self._jobs.items()):
            self._take_up(number, job_record)

    def _take_up(self, number: int, job_record: JobRecord) -> None:
        state = job_record.info.state
        if state in ENDED:
            return
        self._open[number] = job_record
        if state == "running":
            self._change(number, state="queued", reason=_RESTARTED, running=0, eta_s=None)
        elif state == "cancelling":
            self.active.add(number)

    # -- reading --------------------------------------------------------------------

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
        """Jobs in these states (none named: all) and of this label.

        Active ones come first, then queued ones in their order, then at most `limit` ended ones,
        the newest of them.
        """

        def wanted(info: JobInfo) -> bool:
            return (not states or info.state in states) and (label is None or info.label == label)

        alive = sorted((r.info for r in self._open.values() if wanted(r.info)), key=order_to_show)
        if limit <= 0:
            return alive  # not a look at all that ever were: this is asked for often
        ended = (r.info for r in self._jobs.values() if r.info.ended and wanted(r.info))
        return alive + heapq.nlargest(limit, ended, key=age_to_show)

    def has_token(self, token: str, owner: int) -> bool:
        """Test if a submission of this token has come before.

        Raises
        ------
        Refused
            If it was another user's.
        """
        if (number := self._tokens.get(token)) is None:
            return False
        if self._jobs[number].info.owner != owner:
            raise Refused("this submission's token is another user's; submit again")
        return True

    def counts(self) -> tuple[int, int]:
        """Numbers of jobs that run, and that wait."""
        return len(self.active), len(self._open) - len(self.active)

    def open_jobs(self, owner: int) -> tuple[int, int]:
        """Numbers of jobs that have not ended: of all, and of one user."""
        return len(self._open), sum(job_record.info.owner == owner for job_record in self._open.values())

    def open_blocks(self, owner: int) -> int:
        """Number of unfinished blocks of a user's jobs that have not ended, as far as they are planned."""
        infos = (job_record.info for job_record in self._open.values() if job_record.info.owner == owner)
        return sum((info.blocks or 0) - info.done for info in infos)

    def take_changes(self) -> list[JobRecord]:
        """The jobs that have changed since the last time, to be journaled."""
        changed, self._changed = self._changed, set()
        return [self._jobs[number] for number in sorted(changed) if number in self._jobs]

    def journal_again(self, number: int) -> None:
        """Count a job as changed: what was to be journaled of it was not."""
        if number in self._jobs:
            self._changed.add(number)

    # -- jobs come ------------------------------------------------------------------

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
        files: JobFiles | None = None,
    ) -> JobRecord:
        """Add a job, which waits for `accept`; a token that is known gives the job that is there.

        Raises
        ------
        Refused
            If it follows a job that is unknown or has failed, or clashes on disk with one that has not
            ended and that it does not follow.
        """
        if token in self._tokens:
            return self._jobs[self._tokens[token]]
        predecessors = tuple(dict.fromkeys(predecessor(self._jobs, item, owner) for item in after))
        self._check_clashes(output, files, predecessors)
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
            after=predecessors,
        )
        job_record = JobRecord(info=info, spec=spec, token=token, overwrite=overwrite)
        self._jobs[info.id] = self._open[info.id] = job_record
        self._tokens[token] = info.id
        self._unaccepted.add(info.id)
        return self._change(info.id, reason=waiting_reason(self._jobs, info))

    def accept(self, number: int) -> None:
        """Let a job start: it is in the journal."""
        self._unaccepted.discard(number)

    def _check_clashes(self, output: str, files: JobFiles | None, predecessors: tuple[int, ...]) -> None:
        ancestor_ids = ancestors(self._jobs, predecessors)
        for number, job_record in self._open.items():
            if (
                number not in ancestor_ids
                and (clash := self.files.clash(files, output, job_record.info)) is not None
            ):
                raise Refused(
                    f"job {number} ({job_record.info.name}), which has not ended, {clash}; "
                    f"name another output, or submit with --after {number}"
                )

    # -- jobs run -------------------------------------------------------------------

    def next_to_start(self, now_s: float, most_active: int) -> JobRecord | None:
        """Mark the next job as running and give it; None where none may start."""
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
            **_RUN_COUNTS,
            state="running",
            reason="",
            runs=info.runs + 1,
            started_s=started_s,
            ended_s=None,
        )

    def _may_start(self, info: JobInfo) -> bool:
        return not info.paused and info.id not in self._unaccepted and not unfinished(self._jobs, info)

    def planned(self, number: int, blocks: int, done: int) -> None:
        """Note how many blocks there are and how many of them are known as finished.

        From now on the output is this job's own, and is not replaced by a later run.
        """
        job_record = self._jobs[number]
        self._jobs[number] = self._open[number] = msgspec.structs.replace(job_record, overwrite=False)
        self._change(number, blocks=blocks, done=done, skipped=done)

    def progress(self, number: int, **counts: Any) -> None:
        """Note the counts of a run; what has not changed is no news."""
        info = self._jobs[number].info
        if any(getattr(info, key) != value for key, value in counts.items()):
            self._change(number, journal=False, **counts)

    def end(self, number: int, outcome: State, reason: str, now_s: float, **counts: Any) -> list[int]:
        """Note the end of a job; it and the followers that end with it."""
        self.active.discard(number)
        self._unaccepted.discard(number)
        self._change(number, state=outcome, reason=reason, ended_s=now_s, **counts)
        del self._open[number]
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
        why = f"job {number} ({info.name}), which it follows, ended as {state_text(info.state)}"
        followers = [n for n, r in self._open.items() if number in r.info.after and r.info.state == "queued"]
        return [ended for n in followers if n in self._open for ended in self.end(n, "cancelled", why, now_s)]

    def put_back(self, number: int, reason: str) -> None:
        """Queue a job again whose run was cut short; one that is being cancelled ends so."""
        if self._jobs[number].info.state == "running":
            self.active.discard(number)
            self._change(number, state="queued", reason=reason, running=0, eta_s=None)

    # -- people steer ---------------------------------------------------------------

    def cancel(self, number: int, now_s: float) -> list[int] | None:
        """End a job; those that have ended by it, or None where its run must be ended first.

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

    def retry(self, number: int, failed_only: bool, now_s: float) -> JobRecord:
        """Queue an ended job again, for what is not finished; with `failed_only` for the failed blocks alone.

        Raises
        ------
        Refused
            If it has not ended or is done; with `failed_only` also if no block has failed.
        """
        info = self.get(number).info
        if not info.ended:
            raise Refused(f"job {number} is {state_text(info.state)}; it can be retried when it has ended")
        if info.state == "done":
            raise Refused(f"job {number} is done; submit it again with --overwrite to do it anew")
        if failed_only and not info.failed:
            raise Refused(f"job {number} has no failed blocks; retry it without --failed")
        self._check_clashes(info.output, self.files.of(number), info.after)
        # Where only failed blocks are left, the run is one like any other and can end as done.
        is_partial = failed_only and info.done + info.failed < (info.blocks or 0)
        job_record = msgspec.structs.replace(self._jobs[number], failed_only=is_partial)
        self._jobs[number] = self._open[number] = job_record
        job_record = self._change(number, state="queued", paused=False, ended_s=None, reason="")
        return self._change(number, reason=waiting_reason(self._jobs, job_record.info))

    def pause(self, numbers: tuple[int, ...] | None) -> list[int]:
        """Start no more blocks of these jobs (None: of any); those of them that run.

        Raises
        ------
        NoSuchJob, Refused
            If one is unknown or has ended; nothing has changed then.
        """
        return self._set_paused(numbers, True)

    def resume(self, numbers: tuple[int, ...] | None) -> list[int]:
        """Undo `pause`; the jobs that run and go on."""
        return self._set_paused(numbers, False)

    def _set_paused(self, numbers: tuple[int, ...] | None, paused: bool) -> list[int]:
        if numbers is None:
            self.paused_all = paused
            selected = list(self._open)
        else:
            selected = list(numbers)
        for number in selected:
            if (info := self.get(number).info).ended:
                raise Refused(f"job {number} has ended as {state_text(info.state)}")
        for number in selected:
            if self._jobs[number].info.paused != paused:
                self._change(number, paused=paused)
        return [number for number in selected if number in self.active]

    def set_priority(self, number: int, priority: int) -> JobRecord:
        """Let a job go before or after others.

        Raises
        ------
        NoSuchJob, Refused
        """
        if (info := self.get(number).info).ended:
            raise Refused(f"job {number} has ended as {state_text(info.state)}")
        return self._change(number, priority=priority)

    def prune(self, now_s: float, keep_s: float, most: int = MOST_KEPT) -> list[int]:
        """Forget jobs that ended more than `keep_s` ago, and the oldest beyond `most`; their numbers.

        Those that a remembered one follows stay: it may be retried, and needs to know how they ended.
        """
        followed = {n for job_record in self._jobs.values() for n in job_record.info.after}
        ended = [r.info for r in self._jobs.values() if r.info.ended and r.info.id not in followed]
        ended.sort(key=age_to_show)
        beyond = max(len(ended) - most, 0)
        expired = [
            info.id
            for index, info in enumerate(ended)
            if index < beyond or (info.ended_s or 0.0) < now_s - keep_s
        ]
        for number in expired:
            del self._tokens[self._jobs.pop(number).token]
            self.files.forget(number)
        return expired

    def _change(self, number: int, *, journal: bool = True, **fields: Any) -> JobRecord:
        self._seen += 1
        job_record = self._jobs[number]
        info = msgspec.structs.replace(job_record.info, **fields, seen=self._seen)
        job_record = msgspec.structs.replace(job_record, info=info)
        self._jobs[number] = job_record
        if number in self._open:
            self._open[number] = job_record
        if journal:
            self._changed.add(number)
        return job_record
