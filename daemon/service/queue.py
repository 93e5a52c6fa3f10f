"""The queue of jobs: takes them from their table to the engine and back, for as long as the service lives.

It owns the table of jobs, the journal, the logs and the runs. All of its verbs belong to the
service's thread; runs send their news through the mailbox, and `hear` takes them in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ...shared.errors import BlockmillError, Refused
from ...shared.jobs.job import Job
from ...shared.messages.records import LogLine
from ...shared.messages.service import SubmitJob
from ...shared.system.impersonation import acting_as
from ..engine.handle import Notice
from ..engine.mailbox import Mailbox
from ..journal.journal import Journal
from ..journal.records import JobRecord
from .access import Rights
from .engine_keeper import EngineKeeper
from .job_logs import JobLogs
from .jobs.clashes import JobPlaces
from .jobs.job_table import JobTable
from .runner import Ending, Runner, sweep_output
from .settings import Settings

MOST_ACTIVE = 64
"""Jobs that are planned and may give blocks at the same time; each has a thread and its counts."""
_PRUNE_S = 3600.0
_DAY_S = 86400.0
_LONGEST_END_S = 15.0
_log = logging.getLogger(__name__)


class JobQueue:
    """The jobs of a service, and what carries them out.

    Parameters
    ----------
    settings : Settings
    mailbox : Mailbox
        What comes out of it is to be brought to `hear`.

    Raises
    ------
    StorageError
        If the journal can't be read.
    """

    def __init__(self, settings: Settings, mailbox: Mailbox) -> None:
        self.settings = settings
        self.rights = Rights(settings.access, settings.system)
        self._mailbox = mailbox
        self.journal = Journal(settings.state_dir / "journal.db", on_trouble=_log.error)
        loaded = self.journal.loaded
        self.table = JobTable(loaded.jobs, last_id=loaded.last_id, paused_all=loaded.paused_all)
        self.keeper = EngineKeeper(settings)
        self.logs = JobLogs(settings.state_dir / "jobs")
        self._runners: dict[int, Runner] = {}
        self._next_prune_s = 0.0
        for record in loaded.jobs:
            self._welcome_back(record)
        self.save()

    def _welcome_back(self, record: JobRecord) -> None:
        """Tell a job that was running when the service ended what has become of it."""
        if not record.info.ended:
            self._place(record)
        if record.info.state == "running":
            self.logs.say(
                record.info.id, "the service was ended, and is back; the blocks that are left follow"
            )
        elif record.info.state == "cancelling":
            self._sweep(self.table.get(record.info.id))

    def _place(self, record: JobRecord) -> None:
        """Note where a journaled job reads and writes, so that others keep clear of it."""
        try:
            with acting_as(self.rights.identity(record.info.owner)):
                self.table.places.note(record.info.id, JobPlaces.of(Job.of(record.spec), follow_links=False))
        except (BlockmillError, OSError) as error:
            _log.warning("job %d: can't look up its files (%s)", record.info.id, error)

    def reconfigure(self, settings: Settings) -> list[str]:
        """Take up what may change while the service runs; the names of what has to wait for a restart.

        Raises
        ------
        Refused
            If an admin has no account; nothing has changed then.
        """
        self.rights = Rights(settings.access, settings.system)
        before, self.settings = self.settings, settings
        self.keeper.reconfigure(settings)
        fixed = {
            "socket": (before.socket, settings.socket),
            "state_dir": (before.state_dir, settings.state_dir),
            "tcp": (before.tcp, settings.tcp),
            "access.group": (before.access.group, settings.access.group),
            "limits.message": (before.limits.message, settings.limits.message),
            "limits.connections": (before.limits.connections, settings.limits.connections),
        }
        return [name for name, (old, new) in fixed.items() if old != new]

    def in_short(self) -> str:
        """The state of the service in a line."""
        running, queued = self.table.counts()
        if (engine := self.keeper.engine) is None:
            return f"no engine: {self.keeper.trouble}"
        busy = sum(worker.job is not None for worker in engine.view.workers)
        draining = "draining; " if self.keeper.draining else ""
        return (
            f"{draining}{running} jobs running, {queued} queued; {busy} of {self.keeper.workers} workers busy"
        )

    # -- turns ----------------------------------------------------------------------

    def hear(self, verb: str, *args: Any) -> None:
        """Take in the news of a run."""
        getattr(self, f"_on_{verb}")(*args)

    def turn(self, *, start: bool = True) -> None:
        """Start what may start, and write down what has changed."""
        now_s = time.monotonic()
        if start:
            self.keeper.mend(now_s, in_use=bool(self._runners))
            self._start_jobs()
        for runner in self._runners.values():
            self._count(runner)
        if now_s >= self._next_prune_s:
            self._next_prune_s = now_s + _PRUNE_S
            self._prune()
        self.logs.write()
        self.save()

    def save(self) -> Future[None] | None:
        """Bring what has changed to the journal; done when the last of it is on the medium."""
        saved = None
        for record in self.table.take_changes():
            saved = self.journal.save(record)
            saved.add_done_callback(self._saved(record.info.id))
        return saved

    def _saved(self, number: int) -> Callable[[Future[None]], None]:
        def note(saved: Future[None]) -> None:
            if saved.exception() is not None:
                self._mailbox.put("unsaved", number)

        return note

    def _on_unsaved(self, number: int) -> None:
        """Write this job again: the journal has reported that it could not."""
        self.table.journal_again(number)

    def close(self) -> None:
        """End the runs and the workers; jobs that ran go on when the service is back."""
        for runner in self._runners.values():
            runner.cut_short(Ending("put back", "the service was ended"))
        deadline_s = time.monotonic() + _LONGEST_END_S
        while self._runners and time.monotonic() < deadline_s:
            for command in self._mailbox.wait(0.1):
                self.hear(*command)
        self.keeper.close()
        self.turn(start=False)
        self.journal.close()

    # -- what clients ask for -------------------------------------------------------

    def submit(self, request: SubmitJob, owner: int) -> JobRecord:
        """Take a job in; it counts, and may start, once `save` is done and `accept` was called.

        Raises
        ------
        JobError
            If the job is wrong.
        Refused
            If it can't be accepted.
        """
        job, places = Job.of(request.job), None
        if not self.table.knows(request.token, owner):
            places = self.rights.check_paths(job, owner, follow_links=False)
            self._check_room(owner)
        return self.table.submit(
            job.model_dump(mode="json"),
            name=job.name or "job",
            owner=owner,
            output=job.output.address,
            token=request.token,
            now_s=time.time(),
            priority=job.priority if request.priority is None else request.priority,
            label=(job.label or "") if request.label is None else request.label,
            after=(*job.after, *request.after),
            overwrite=request.overwrite,
            places=places,
        )

    def _check_room(self, owner: int) -> None:
        limits, (everybodys, theirs) = self.settings.limits, self.table.open_jobs(owner)
        if everybodys >= limits.queue:
            raise Refused(
                f"{everybodys} jobs have not ended, the most allowed (limits.queue); try again later"
            )
        if theirs >= limits.jobs_per_user:
            raise Refused(
                f"{theirs} jobs of yours have not ended, the most allowed (limits.jobs_per_user); "
                "wait for some of them"
            )

    def retry(self, number: int, *, failed_only: bool) -> JobRecord:
        """Queue an ended job again, for what is not finished.

        Parameters
        ----------
        number : int
        failed_only : bool
            Only for the blocks that failed.

        Raises
        ------
        NoSuchJob, Refused
            If there is none, it can't be retried, or it clashes on disk with another job by now.
        """
        if (record := self.table.get(number)).info.ended:
            self._place(record)  # what it reads and writes may lead elsewhere now
        return self.table.retry(number, failed_only, time.time())

    def accept(self, number: int) -> None:
        """Let a job start, which the journal has by now."""
        self.table.accept(number)

    def withdraw(self, number: int) -> None:
        """End a job that the journal could not take; its submitter got an error, and it never ran."""
        if not self.table.get(number).info.ended:
            self.cancel(number)

    def cancel(self, number: int, *, now: bool = False) -> None:
        """End a job: at once where it does not run, else when its running blocks have been ended.

        `now`: their workers are killed, and get no time to tidy up; that is done for them.
        """
        ended = self.table.cancel(number, time.time())
        if ended is None:
            self.logs.say(number, "is being cancelled")
            if number in self._runners:
                self._runners[number].cut_short(Ending("cancelled", "cancelled on request"), now=now)
            return
        for one in ended:
            self._say_end(one)
        if (record := self.table.get(number)).info.runs:
            self._sweep(record)

    def pause(self, numbers: tuple[int, ...] | None, paused: bool) -> None:
        """Pause or resume jobs; None: all, also those to come; resuming all ends a drain."""
        affected = self.table.pause(numbers) if paused else self.table.resume(numbers)
        for number in affected:
            if number in self._runners:
                self._runners[number].pause(paused)
        if numbers is None:
            self.journal.set_paused_all(paused)
            if not paused and self.keeper.draining:
                self.keeper.drain(False)

    def set_priority(self, number: int, priority: int) -> None:
        """Let a job go before or after others."""
        self.table.set_priority(number, priority)
        if number in self._runners:
            self._runners[number].set_priority(priority)

    # -- runs -----------------------------------------------------------------------

    def _start_jobs(self) -> None:
        engine = self.keeper.engine
        if self.keeper.draining or engine is None:
            return
        while (record := self.table.next_to_start(time.time(), MOST_ACTIVE)) is not None:
            number = record.info.id
            if not record.failed_only:
                self.journal.begin_run(number)
            runner = Runner(record, engine, self.journal, self.rights, self._mailbox.put)
            self._runners[number] = runner
            self.logs.say(number, f"run {record.info.runs} begins")
            runner.start()

    def _count(self, runner: Runner) -> None:
        """Bring the totals of a run into the table of jobs."""
        totals, seconds = runner.progress, time.monotonic() - runner.started_s
        computed = totals.blocks - totals.skipped
        left = runner.blocks - totals.blocks - totals.failed
        self.table.progress(
            runner.id,
            done=totals.blocks + runner.known,
            skipped=totals.skipped + runner.known,
            failed=totals.failed,
            running=totals.running,
            retries=totals.retries,
            voxels=totals.voxels,
            bytes_read=totals.bytes_read,
            bytes_written=totals.bytes_written,
            seconds=round(seconds, 1),
            eta_s=round(seconds / computed * left, 1) if computed else None,
        )

    def _on_planned(self, number: int, blocks: int, done: int) -> None:
        self.table.planned(number, blocks, done)
        owner, most = self.table.get(number).info.owner, self.settings.limits.blocks_per_user
        if (theirs := self.table.open_blocks(owner)) > most:
            why = f"with it {theirs} blocks of its owner have not ended, {most} may (limits.blocks_per_user)"
            self._runners[number].cut_short(Ending("failed", why))

    def _on_log(self, number: int, notice: Notice) -> None:
        line = LogLine(
            time_s=time.time(),
            text=notice.text,
            kind=notice.kind,
            worker=notice.worker,
            block=notice.block,
            attempt=notice.attempt,
        )
        self.logs.add(number, line)

    def _on_ended(self, number: int, ending: Ending) -> None:
        """A run is over; its repeated blocks are counted before the job's end is reported."""
        self._count(self._runners[number])
        if ending.outcome == "put back":
            del self._runners[number]
            self.keeper.mend(time.monotonic(), in_use=bool(self._runners), reason=ending.reason)
            self.table.put_back(number, ending.reason)
            self.logs.say(number, f"waits to go on: {ending.reason}")
            return

        def counted(redone: Future[int]) -> None:
            again = 0 if redone.exception() else redone.result()
            self._mailbox.put("counted", number, ending, again)

        self.journal.redone(number).add_done_callback(counted)

    def _on_counted(self, number: int, ending: Ending, redone: int) -> None:
        del self._runners[number]
        self.keeper.proved()
        self._end(number, ending, redone=redone, running=0, eta_s=None)

    def _end(self, number: int, ending: Ending, **counts: Any) -> None:
        assert ending.outcome != "put back"
        for ended in self.table.ended(number, ending.outcome, ending.reason, time.time(), **counts):
            self._say_end(ended)

    def _say_end(self, number: int) -> None:
        info = self.table.get(number).info
        self.logs.say(number, info.state.replace("_", " ") + (f": {info.reason}" if info.reason else ""))

    # -- leavings -------------------------------------------------------------------

    def _sweep(self, record: JobRecord) -> None:
        """Remove what a cancelled job's killed run has left, in a thread: it may take long."""

        def sweep() -> None:
            try:
                sweep_output(record, self.rights)
                trouble = ""
            except (BlockmillError, OSError) as error:
                trouble = str(error)
            self._mailbox.put("swept", record.info.id, trouble)

        threading.Thread(target=sweep, name=f"sweep-{record.info.id}", daemon=True).start()

    def _on_swept(self, number: int, trouble: str) -> None:
        if trouble:
            self.logs.say(number, f"what the killed run left could not be removed: {trouble}")
        if self.table.get(number).info.state == "cancelling":
            self._end(number, Ending("cancelled", "cancelled on request"))

    def _prune(self) -> None:
        removed = self.table.prune(time.time(), self.settings.history_days * _DAY_S)
        if removed:
            self.journal.remove(removed)
        for number in removed:
            self.logs.remove(number)
