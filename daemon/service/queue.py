"""The queue of jobs: starts jobs of the table on the engine, and brings their ends back to the table.

It owns the table of jobs, the journal, the logs and the runs. All of its methods belong to the
service's thread; runs send their news through the mailbox, and `handle_news` handles them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ...shared.errors import BlockmillError, Refused
from ...shared.jobs.job_file import job_of
from ...shared.messages.records import JobInfo
from ...shared.messages.service import RetryJob, SubmitJob
from ...shared.system.impersonation import acting_as
from ...shared.version import Installation
from ..engine.engine import Engine
from ..engine.handle import Notice
from ..engine.mailbox import Mailbox
from ..journal.journal import Journal
from ..journal.records import JobRecord
from .access import Rights
from .active_runs import ActiveRuns, start_sweep
from .admission import check_edited, check_priority, check_room
from .engine_keeper import EngineKeeper
from .job_logs import JobLogs
from .jobs.clashes import JobFiles
from .jobs.job_table import JobTable
from .runner import Ending
from .settings import Settings

MOST_ACTIVE = 64
"""Most jobs that run at the same time; each has a thread."""
_PRUNE_S = 3600.0
_DAY_S = 86400.0
_LONGEST_END_S = 15.0
_log = logging.getLogger(__name__)


class JobQueue:
    """The jobs of a service, and the engine that runs them.

    Parameters
    ----------
    settings : Settings
    mailbox : Mailbox
        Its commands, except those for the server, belong to `handle_news`.
    make_engine : callable
        Takes the arguments of `Engine`; tests give one without processes.

    Raises
    ------
    StorageError
        If the journal can't be read.
    """

    def __init__(
        self, settings: Settings, mailbox: Mailbox, make_engine: Callable[..., Engine] = Engine
    ) -> None:
        self.settings = settings
        self.rights = Rights(settings.access, settings.system)
        self._mailbox = mailbox
        self.journal = Journal(settings.state_dir / "journal.db", on_trouble=_log.error, on_news=_log.warning)
        loaded = self.journal.loaded
        self.table = JobTable(loaded.jobs, last_id=loaded.last_id, paused_all=loaded.paused_all)
        self.keeper = EngineKeeper(settings, make_engine)
        self.installation = Installation()
        self.logs = JobLogs(settings.state_dir / "jobs")
        self.logs.remove_unknown(self.table, loaded.last_id)
        self._runs = ActiveRuns(self.table, self.journal, mailbox.put)
        self._next_prune_s = 0.0
        for job_record in loaded.jobs:
            if job_record.spec:
                self._readmit(job_record)
        for number in loaded.unreadable:
            self._put_aside(self.table.get(number).info)
        self.save()

    def _put_aside(self, info: JobInfo) -> None:
        """End a job whose record can't be read, if it had not ended; the journal keeps the damaged record."""
        _log.error("job %d: %s", info.id, info.reason)
        if not info.ended:
            self._end(info.id, Ending("failed", info.reason))

    def _readmit(self, job_record: JobRecord) -> None:
        """Resume care of a journaled job: note its files, log that it goes on, tidy up a cancelled one."""
        info = job_record.info
        if not info.ended:
            self.table.files.note(info.id, self._files_of(job_record))  # so that clashes are found
        if info.state == "running":
            self.logs.add_text(info.id, "the service was ended, and is back; the blocks that are left follow")
        elif info.state == "cancelling":
            self._sweep(self.table.get(info.id))

    def _files_of(self, job_record: JobRecord) -> JobFiles | None:
        """The files that a journaled job reads and writes by now; None if they can't be looked up."""
        info = job_record.info
        try:
            with acting_as(self.rights.identity(info.owner)):
                return JobFiles.of(job_of(job_record.spec), follow_links=False)
        except (BlockmillError, OSError) as error:
            _log.warning("job %d: can't look up its files (%s)", info.id, error)
            return None

    def reconfigure(self, settings: Settings) -> list[str]:
        """Apply the settings that may change while the service runs.

        Returns
        -------
        list of str
            Names of changed settings that need a restart.

        Raises
        ------
        Refused
            If an admin has no account; nothing has changed then.
        """
        self.rights = Rights(settings.access, settings.system)
        before, self.settings = self.settings, settings
        self.keeper.reconfigure(settings)
        return before.changes_for_restart(settings)

    def status_line(self) -> str:
        """The state of the service in a line."""
        running, queued = self.table.counts()
        if (engine := self.keeper.engine) is None:
            return f"no engine: {self.keeper.trouble}"
        busy = sum(worker.job is not None for worker in engine.view.workers)
        draining, workers = "draining; " if self.keeper.draining else "", self.keeper.workers
        return f"{draining}{running} jobs running, {queued} queued; {busy} of {workers} workers busy"

    # -- turns ----------------------------------------------------------------------

    def handle_news(self, verb: str, *args: Any) -> None:
        """Handle the news of a run.

        Parameters
        ----------
        verb : str
            Such as "planned"; the method ``_on_planned`` handles it.
        *args
            Its arguments.
        """
        getattr(self, f"_on_{verb}")(*args)

    def turn(self, *, start: bool = True) -> None:
        """Start the jobs that may start, and save all changes."""
        now_s = time.monotonic()
        if start:
            self.keeper.replace_broken(now_s, in_use=bool(self._runs))
            self._start_jobs()
        self._runs.count_all()
        if now_s >= self._next_prune_s:
            self._next_prune_s = now_s + _PRUNE_S
            self._prune()
        self.logs.write()
        self.save()

    def save(self) -> Future[None] | None:
        """Journal all changed jobs. Returns a future that is done when the last is on the medium, or None."""
        saved = None
        for job_record in self.table.take_changes():
            saved = self.journal.save(job_record)
            saved.add_done_callback(self._save_callback(job_record.info.id))
        return saved

    def _save_callback(self, number: int) -> Callable[[Future[None]], None]:
        def note(saved: Future[None]) -> None:
            if saved.exception() is not None:
                self._mailbox.put("unsaved", number)

        return note

    def _on_unsaved(self, number: int) -> None:
        """Write this job again: the journal has reported that it could not."""
        self.table.journal_again(number)

    def close(self) -> None:
        """End the runs and the workers; jobs that run now go on when the service is started again."""
        self._runs.cut_all_short(Ending("put back", "the service was ended"))
        deadline_s = time.monotonic() + _LONGEST_END_S
        while self._runs and time.monotonic() < deadline_s:
            for command in self._mailbox.wait(0.1):
                self.handle_news(*command)
        self.keeper.close()
        self.turn(start=False)
        self.journal.close()

    # -- requests of clients --------------------------------------------------------

    def submit(self, request: SubmitJob, owner: int) -> JobRecord:
        """Add a job and return its record; it may start once `save` is done and `accept` was called.

        Parameters
        ----------
        request : SubmitJob
        owner : int
            The caller's user number.

        Raises
        ------
        JobError, Refused
            If the job is wrong, or can't be accepted.
        """
        job, files = job_of(request.job), None
        priority = job.priority if request.priority is None else request.priority
        if not self.table.has_token(request.token, owner):
            check_room(self.settings.limits, self.table, owner)
            check_priority(self.settings.limits, self.rights, owner, priority)
            files = self.rights.check_paths(job, owner, follow_links=False)
        return self.table.submit(
            job.model_dump(mode="json"),
            name=job.name or "job",
            owner=owner,
            output=job.output.address,
            token=request.token,
            now_s=time.time(),
            priority=priority,
            label=(job.label or "") if request.label is None else request.label,
            after=(*job.after, *request.after),
            overwrite=request.overwrite,
            keep_finished=request.keep_finished,
            file=request.file,
            files=files,
        )

    def retry(self, request: RetryJob) -> JobRecord:
        """Queue an ended job again, for its unfinished blocks.

        Raises
        ------
        NoSuchJob, JobError, Refused
            If there is none, it can't be retried, or it clashes on disk with another job by now; if the
            edited job is wrong, or has another output.
        """
        job_record, edited, files = self.table.get(request.id), None, None
        if request.failed_only and "stages" in (job_record.spec or {}):
            raise Refused(
                f"job {request.id} has several stages; retry it without --failed: finished blocks are kept"
            )
        if request.job is not None:
            job, files = check_edited(request.job, job_record.info, self.rights)
            edited = job.model_dump(mode="json"), request.file
        elif job_record.info.ended and job_record.spec:
            files = self._files_of(job_record)  # they may lead elsewhere than when it was submitted
        keep = request.keep_finished
        return self.table.retry(
            request.id, request.failed_only, files=files, keep_finished=keep, edited=edited
        )

    def accept(self, number: int) -> None:
        """Let a job start, which the journal has by now."""
        self.table.accept(number)

    def withdraw(self, number: int) -> None:
        """Forget a job that the journal could not take; its submitter got an error, and it never ran."""
        if self.table.is_accepted(number):
            return
        for follower in self.table.withdraw(number, time.time()):
            self._log_end(follower)
        self.journal.remove((number,))  # it may have been written at another attempt

    def cancel(self, number: int, *, now: bool = False) -> None:
        """End a job: at once if it does not run, else when its running blocks have been ended.

        Parameters
        ----------
        number : int
        now : bool
            Kill the workers at once; a sweep of the output then tidies up for them.
        """
        ended = self.table.cancel(number, time.time())
        if ended is None:
            self.logs.add_text(number, "is being cancelled")
            self._runs.cut_short(number, Ending("cancelled", "cancelled on request"), now=now)
            return
        for ended_job in ended:
            self._log_end(ended_job)
        if (job_record := self.table.get(number)).info.runs:
            self._sweep(job_record)

    def pause(self, numbers: tuple[int, ...] | None, paused: bool, by: str) -> None:
        """Pause or resume jobs; resuming all of them also ends a drain.

        Parameters
        ----------
        numbers : tuple of int or None
            None: all jobs, future ones included.
        paused : bool
        by : str
            Name of the user who asks for it.
        """
        active = self.table.pause(numbers, by) if paused else self.table.resume(numbers)
        for number in active:
            self._runs.pause(number, paused)
        if numbers is None:
            self.journal.set_paused_all(self.table.paused_all)
            if not paused and self.keeper.draining:
                self.keeper.drain(False)

    def set_priority(self, number: int, priority: int, uid: int) -> None:
        """Change the priority of a job.

        Parameters
        ----------
        number, priority : int
        uid : int
            The caller's user number.

        Raises
        ------
        Refused
            If the user may not give such a priority, or the job has ended.
        """
        check_priority(self.settings.limits, self.rights, uid, priority)
        self.table.set_priority(number, priority)
        self._runs.set_priority(number, priority)

    # -- runs -----------------------------------------------------------------------

    def _start_jobs(self) -> None:
        engine = self.keeper.engine
        if self.keeper.draining or engine is None:
            return
        if trouble := self.installation.trouble:
            if self.table.hold_back(trouble):
                _log.error("no job is started: %s", trouble)
            return
        while (job_record := self.table.next_to_start(time.time(), MOST_ACTIVE)) is not None:
            number = job_record.info.id
            self.logs.add_text(number, f"run {job_record.info.runs} begins")
            self._runs.start(job_record, engine, self.rights)

    def _on_planned(self, number: int, blocks: int, done: int) -> None:
        self.table.note_plan(number, blocks, done)
        owner, limit = self.table.get(number).info.owner, self.settings.limits.blocks_per_user
        if (open_blocks := self.table.open_blocks(owner)) > limit:
            sizes = f"{open_blocks} blocks of its owner have not ended, {limit} may"
            reason = f"with it {sizes} (limits.blocks_per_user)"
            self._runs.cut_short(number, Ending("failed", reason))

    def _on_log(self, number: int, notice: Notice) -> None:
        self.logs.add_notice(number, notice)

    def _on_ended(self, number: int, ending: Ending) -> None:
        """A run is over; its repeated blocks are counted before the job's end is reported."""
        self._runs.count(number)
        if ending.outcome == "put back":
            self._runs.remove(number)
            self.keeper.replace_broken(time.monotonic(), in_use=bool(self._runs), reason=ending.reason)
            self.table.put_back(number, ending.reason)
            self.logs.add_text(number, f"waits to go on: {ending.reason}")
            return

        def counted(redone: Future[int]) -> None:
            redone_count = 0 if redone.exception() else redone.result()
            self._mailbox.put("counted", number, ending, redone_count)

        self.journal.count_redone(number).add_done_callback(counted)

    def _on_counted(self, number: int, ending: Ending, redone: int) -> None:
        self._runs.remove(number)
        self.keeper.reset_breakdowns()
        self._end(number, ending, redone=redone, running=0, eta_s=None)

    def _end(self, number: int, ending: Ending, **counts: Any) -> None:
        assert ending.outcome != "put back"
        for ended in self.table.end(number, ending.outcome, ending.reason, time.time(), **counts):
            self._log_end(ended)

    def _log_end(self, number: int) -> None:
        info = self.table.get(number).info
        self.logs.add_text(number, info.state.replace("_", " ") + (f": {info.reason}" if info.reason else ""))

    # -- tidying up -----------------------------------------------------------------

    def _sweep(self, job_record: JobRecord) -> None:
        """Remove the partial files and locks of a cancelled job."""
        number, put = job_record.info.id, self._mailbox.put
        start_sweep(job_record, self.rights, lambda trouble: put("swept", number, trouble))

    def _on_swept(self, number: int, trouble: str) -> None:
        if number not in self.table:
            return  # it was removed meanwhile
        if trouble:
            self.logs.add_text(number, f"what the killed run left could not be removed: {trouble}")
        if self.table.get(number).info.state == "cancelling":
            self._end(number, Ending("cancelled", "cancelled on request"))

    def _prune(self) -> None:
        removed = self.table.prune(time.time(), self.settings.history_days * _DAY_S)
        if removed:
            self.journal.remove(removed)
        for number in removed:
            self.logs.remove(number)
