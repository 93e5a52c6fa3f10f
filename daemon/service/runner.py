"""One run of one job in the service: a thread that plans, feeds the engine and merges.

It reports to the service by `report`, which may be called from any thread, and by `progress`. The work is
the same as that of the command ``run``, and is in `daemon.runs.run`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...shared.errors import BlockmillError, EngineError
from ...shared.files.refusals import system_errors
from ...shared.geometry.roi import Roi
from ...shared.jobs.job_file import job_of
from ...shared.jobs.staged import AnyJob, StagedJob
from ...shared.messages import engine as wire
from ...shared.messages.records import State
from ...shared.outside_text import error_text, message_of
from ...shared.system.confinement import confine_thread
from ...shared.system.impersonation import acting_as
from ...shared.volumes.registry import load_all, split_address
from ..engine.engine import Engine
from ..engine.handle import JobHandle, Notice, Progress
from ..engine.job import JobOwner
from ..journal.journal import Journal
from ..journal.records import AttemptRow, BlockRow, JobRecord
from ..runs.outputs.cleaning import sweep
from ..runs.reports import Summary, Watcher
from ..runs.run import JobRun
from ..runs.staged_run import StagedRun, run_of
from ..scheduling.events import Attempted, Persist
from .access import Rights

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run: an outcome, or "put back" if it was cut short and the job is to be queued again."""

    outcome: State | Literal["put back"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _JournalLog:
    """Brings the ends of blocks and attempts from the engine's thread to the journal."""

    journal: Journal
    job: int
    sync: str | None

    def block(self, number: int, roi: Roi, ended: Persist, reply: wire.TaskDone | None) -> None:
        """Note the end of a block."""
        done = ended.state == "done"
        reply = reply or wire.TaskDone("", number, ended.attempt, 0.0)
        row = BlockRow(
            job=self.job,
            block=number,
            done=done,
            skipped=reply.skipped,
            attempts=ended.attempt,
            seconds=reply.seconds,
            bytes_read=reply.nbytes_read,
            bytes_written=reply.nbytes_written,
            reason=ended.reason,
            start=() if done else roi.start,
            stop=() if done else roi.stop,
        )
        self.journal.note(row, self.sync if done else None)

    def attempt(self, attempted: Attempted) -> None:
        """Note an attempt that failed."""
        self.journal.attempt(
            AttemptRow(
                self.job,
                attempted.block,
                attempted.attempt,
                attempted.worker,
                time.time(),
                attempted.reason,
                attempted.memory,
            )
        )


class Runner:
    """A job on its way through the engine.

    Parameters
    ----------
    job_record : JobRecord
        Already marked as running.
    engine : Engine
    journal : Journal
    rights : Rights
        Decide which files the job may name, and under which identity they are used.
    report : callable
        Takes ``("planned", id, blocks, done)``, ``("log", id, notice)`` and ``("ended", id, ending)``
        to the service.
    paused : bool
        Start no blocks before `resume`.
    """

    def __init__(
        self,
        job_record: JobRecord,
        engine: Engine,
        journal: Journal,
        rights: Rights,
        report: Callable[..., object],
        *,
        paused: bool = False,
    ) -> None:
        self.id = job_record.info.id
        self.engine = engine
        self.progress = Progress()
        self.finished_before = 0  # blocks that were finished before this run
        self.blocks = 0  # blocks that this run is for
        self.planned = False  # the output is taken, and the counts of earlier runs no longer hold
        self.started_s = time.monotonic()
        self._job_record = job_record
        self._journal = journal
        self._rights = rights
        self._report = report
        self._paused = paused
        self._priority = job_record.info.priority
        self._handle: JobHandle | None = None
        self._lock = threading.Lock()
        self._early_ending: Ending | None = None
        self._only: frozenset[int] | None = None
        self._done_before = 0
        self._thread = threading.Thread(target=self._run, name=f"job-{self.id}", daemon=True)

    def start(self) -> None:
        """Start the run's thread."""
        self._thread.start()

    # -- the service's thread -------------------------------------------------------

    def cut_short(self, ending: Ending, *, now: bool = False) -> None:
        """End the run before its time, with its running blocks; a cancellation is not replaced.

        Parameters
        ----------
        ending : Ending
        now : bool
            Kill the workers of running blocks, without time to tidy up.
        """
        if self._early_ending is None or ending.outcome == "cancelled":
            self._early_ending = ending
        with self._lock:
            if now and self._handle is not None:
                self._handle.cancel(now=True)

    def pause(self, paused: bool) -> None:
        """Start no more blocks. With False, start some again."""
        with self._lock:
            self._paused = paused
            if self._handle is not None:
                self._handle.pause() if paused else self._handle.resume()

    def set_priority(self, priority: int) -> None:
        """Change the priority of the job."""
        with self._lock:
            self._priority = priority
            if self._handle is not None:
                self._handle.set_priority(priority)

    def join(self, timeout_s: float) -> None:
        """Wait until the run has ended."""
        self._thread.join(timeout_s)

    # -- the run's own thread -------------------------------------------------------

    def _on_started(self, handle: JobHandle) -> None:
        with self._lock:
            self._handle = handle
            if self._paused:
                handle.pause()
            if self._priority != self._job_record.info.priority:
                handle.set_priority(self._priority)

    def _on_planned(self, blocks: int, finished: int) -> None:
        self.finished_before = self._done_before if self._only is not None else finished
        self.blocks = blocks - self.finished_before if self._only is None else len(self._only)
        if not self._job_record.failed_only and not self.planned:
            self._journal.begin_run(self.id)  # before any block of this run is noted
        self.planned = True
        self._report("planned", self.id, blocks, self.finished_before)

    def _on_notice(self, notice: Notice) -> None:
        self._report("log", self.id, notice)

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress

    def _run(self) -> None:
        try:
            ending = self._execute()
        except Exception as error:  # noqa: BLE001 - a defect of ours must end this job only, and be seen
            _log.exception("job %d: the run broke down", self.id)
            ending = Ending("failed", f"a defect of blockmill: {error_text(error)}; please report it")
        self._report("ended", self.id, ending)

    def _execute(self) -> Ending:
        try:
            job, owner = job_of(self._job_record.spec), self._job_record.info.owner
            with system_errors():
                self._rights.check_paths(job, owner)  # again: links and accounts may have changed
            if self._job_record.failed_only:
                self._only, self._done_before = self._journal.failed_blocks(self.id).result()
            load_all()  # a confined thread could not read the modules
            confine_thread(self._rights.confinement)  # from here on; the thread ends with the run
            with acting_as(self._rights.identity(owner)):
                summary = self._job_run(job).execute(self.engine)
        except KeyboardInterrupt:
            assert self._early_ending is not None, "nobody else interrupts a run"
            return self._early_ending
        except EngineError as error:
            if self.engine.alive:
                return Ending("failed", message_of(error))
            return self._early_ending or Ending("put back", message_of(error))
        except BlockmillError as error:
            return self._early_ending or Ending("failed", message_of(error))
        if self._early_ending is not None and summary.outcome == "cancelled":
            return self._early_ending
        if summary.note:
            self._on_notice(Notice(summary.note))
        return Ending(*_outcome(summary))

    def _job_run(self, job: AnyJob) -> JobRun | StagedRun:
        workers = min(job.workers or self.engine.workers, self.engine.workers)
        by_groups = job.output.durability == "group"
        owner = self._job_record.info.owner
        folder = _mount_of(Path(split_address(job.output.address).file).parent)
        return run_of(
            job,
            workers,
            overwrite=self._job_record.overwrite,
            keep_finished=self._job_record.keep_finished,
            only=self._only,
            watcher=Watcher(
                planned=self._on_planned,
                started=self._on_started,
                progress=self._on_progress,
                notice=self._on_notice,
                interrupted=lambda: self._early_ending is not None,
            ),
            number=self.id,
            owner=JobOwner(
                name=str(owner),
                priority=self._job_record.info.priority,
                identity=self._rights.identity(owner),
                confinement=self._rights.confinement,
            ),
            events=_JournalLog(self._journal, self.id, folder if by_groups else None),
        )


def _outcome(summary: Summary) -> tuple[State, str]:
    """State and reason of a run that was not cut short."""
    if summary.outcome == "done":
        return "done", ""
    first = "; ".join(f"{block}: {reason.partition(chr(10))[0]}" for block, reason in summary.failures[:1])
    if (others := len(summary.failures) - 1) > 0:
        first += f" (and {others} more)"
    states: dict[str, State] = {"done_with_failures": "done_with_failures", "cancelled": "cancelled"}
    return states.get(summary.outcome, "failed"), first


def _mount_of(folder: Path) -> str:
    """The root of a folder's file system, which the journal can open even if the folder is a user's."""
    while not folder.is_mount() and folder != folder.parent:
        folder = folder.parent
    return str(folder)


def sweep_output(job_record: JobRecord, rights: Rights) -> None:
    """Remove the leftovers of a killed run in the output: partial files, locks of dead processes.

    Call it for a job that will not go on, in a thread of its own; otherwise each block's next writer does
    the same.

    Parameters
    ----------
    job_record : JobRecord
    rights : Rights

    Raises
    ------
    BlockmillError
        If the output can't be read.
    """
    job = job_of(job_record.spec)
    jobs = [stage.job for stage in job.stage_jobs] if isinstance(job, StagedJob) else [job]
    load_all()
    confine_thread(rights.confinement)
    with acting_as(rights.identity(job_record.info.owner)):
        for one in jobs:
            sweep(split_address(one.output.address))
