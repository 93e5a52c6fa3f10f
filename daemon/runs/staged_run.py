"""One run of a job of several stages: they are planned together, and run one after the other.

What a stage makes of another one's output depends on that stage alone, so its identity stands for the
files that are still to be written. A stage whose result nobody needs any more is left out.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec

from ...shared.errors import BlockmillError, JobError, OutputRefused
from ...shared.files.refusals import storage_errors
from ...shared.geometry.roi import Roi
from ...shared.jobs.job import Job
from ...shared.jobs.staged import AnyJob, Stage, StagedJob, StageJob
from ...shared.messages import engine as wire
from ...shared.volumes.claims import claims_of
from ...shared.volumes.registry import split_address
from ..engine.engine import Engine
from ..engine.handle import Notice, Progress
from ..engine.job import BlockLog
from ..scheduling.events import Attempted, Persist
from .outputs.output import Output
from .outputs.output_files import stages_lock
from .reports import Summary, Watcher
from .run import JobRun

_COUNTS = tuple(one.name for one in fields(Progress))


def run_of(job: AnyJob, workers: int, **options: Any) -> JobRun | StagedRun:
    """A run of a job, of one stage or of several.

    Parameters
    ----------
    job : Job or StagedJob
    workers : int
    **options
        As for `JobRun`.

    Returns
    -------
    JobRun or StagedRun
    """
    return JobRun(job, workers, **options) if isinstance(job, Job) else StagedRun(job, workers, **options)


class StagedRun:
    """A job of several stages with its inputs opened and all stages planned.

    Parameters
    ----------
    job : StagedJob
    workers : int
        Worker processes of the engine that will run it.
    watcher : Watcher, optional
        Receives plan, progress and notices, of all stages together.
    events : BlockLog, optional
        Notes the ends of blocks; they are numbered through all stages.
    overwrite : bool
        Replace outputs of other jobs; those that are this job's are taken up all the same.
    **options
        As for `JobRun`.

    Attributes
    ----------
    stages : list of (StageJob, JobRun)

    Raises
    ------
    JobError
        If the stages don't fit each other or their inputs, or would write the same files.
    """

    def __init__(
        self,
        job: StagedJob,
        workers: int,
        *,
        watcher: Watcher | None = None,
        events: BlockLog | None = None,
        overwrite: bool = False,
        **options: Any,
    ) -> None:
        self._job = job
        self._watcher = watcher or Watcher()
        self._overwrite = overwrite
        self._total = _Totals(self._watcher)
        self.stages: list[tuple[StageJob, JobRun]] = []
        _refuse_shared_files(job)
        runs: dict[str, JobRun] = {}
        first_block = 0
        for stage in job.stage_jobs:
            try:
                runs[stage.name] = JobRun(
                    stage.job,
                    workers,
                    watcher=self._total.watcher(),
                    events=None if events is None else _NumberedOn(first_block, events),
                    made={name: runs[made] for name, made in stage.made.items()},
                    **options,
                )
            except BlockmillError as error:
                raise type(error)(_placed(stage.name, str(error))) from error
            self.stages.append((stage, runs[stage.name]))
            first_block += len(runs[stage.name].plan.grid)

    @property
    def output(self) -> Output:
        """The output of the last stage."""
        return self.stages[-1][1].output

    def execute(self, engine: Engine) -> Summary:
        """Run all stages that are needed, in the calling thread; see `JobRun.execute`.

        Returns
        -------
        Summary
            Of all stages together; of the one that failed, if one did.
        """
        started_s = time.monotonic()
        folder = self._job.temporary_folder()
        summaries: list[Summary] = []
        with _held(folder):
            needed = self._needed()
            self._total.blocks = sum(len(run.plan.grid) for _, run in self.stages)
            for (stage, run), is_needed in zip(self.stages, needed, strict=True):
                if not is_needed:
                    self._total.leave_out(run)
                    continue
                self._watcher.notice(Notice(f"stage {stage.name}"))
                summary = self._execute_stage(stage, run, engine)
                self._total.add()
                summaries.append(summary)
                if summary.outcome != "done":
                    return self._summary(summaries, started_s, f"stages.{stage.name}: ")
            with storage_errors("remove", folder), contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)
        return self._summary(summaries, started_s)

    def _execute_stage(self, stage: StageJob, run: JobRun, engine: Engine) -> Summary:
        """Run a stage; an output that can't be taken up is replaced if it is temporary, or on request."""
        try:
            return run.execute(engine)
        except OutputRefused:
            if not (stage.temporary or self._overwrite):
                raise
            run.overwrite = True
            return run.execute(engine)

    def _needed(self) -> list[bool]:
        """For each stage, if it is to be run: its output is to be made, or a later stage has to read it.

        A finished stage is looked at again, as any finished job is, if what it reads is still there.
        """
        needed: dict[str, bool] = {}
        by_name = {stage.name: stage for stage, _ in self.stages}
        for stage, run in reversed(self.stages):
            if stage.temporary:
                readers = [other for other, _ in self.stages if stage.name in other.made.values()]
                needed[stage.name] = any(needed[other.name] for other in readers)
            else:
                reads_temporary = any(by_name[name].temporary for name in stage.made.values())
                needed[stage.name] = not (reads_temporary and self._is_finished(run))
        return [needed[stage.name] for stage, _ in self.stages]

    def _is_finished(self, run: JobRun) -> bool:
        try:
            return run.is_finished()
        except OutputRefused:
            if not self._overwrite:
                raise
            return False

    def _summary(self, summaries: list[Summary], started_s: float, where: str = "") -> Summary:
        last = summaries[-1] if summaries else self._nothing_to_do()
        totals = self._total.before
        failures = [(f"{where}{block}", reason) for block, reason in last.failures]
        counts = [summary.input_blocks for summary in summaries]
        unchecked = [summary.input_unchecked or 0 for summary in summaries]
        return replace(
            last,
            blocks=self._total.blocks,
            finished=totals.blocks + self._total.finished_before,
            skipped=totals.skipped + self._total.finished_before,
            voxels=totals.voxels,
            bytes_written=totals.bytes_written,
            retries=totals.retries,
            masked=totals.masked,
            seconds=time.monotonic() - started_s,
            output=self._job.output.address,
            failures=failures,
            input_blocks=sum(count or 0 for count in counts) if any(counts) else None,
            input_unchecked=sum(unchecked) if any(counts) else None,
        )

    def _nothing_to_do(self) -> Summary:
        """The summary of a job whose outputs are all there."""
        return Summary(
            outcome="done",
            blocks=0,
            finished=0,
            skipped=0,
            voxels=0,
            seconds=0.0,
            bytes_written=0,
            output=self._job.output.address,
        )


class _Totals:
    """Adds up plan and progress of the stages, for a watcher that sees one job."""

    def __init__(self, watcher: Watcher) -> None:
        self.blocks = 0
        self.finished_before = 0
        self.before = Progress()  # of the stages that have ended
        self._current = Progress()
        self._watcher = watcher

    def watcher(self) -> Watcher:
        """A watcher of one stage."""
        return replace(self._watcher, planned=self._planned, progress=self._progress)

    def _planned(self, blocks: int, finished: int) -> None:
        self.finished_before += finished
        self._watcher.planned(self.blocks, self.finished_before)

    def _progress(self, progress: Progress) -> None:
        self._current = progress
        self._watcher.progress(self._sum())

    def _sum(self) -> Progress:
        both = (self.before, self._current)
        return Progress(**{name: sum(getattr(one, name) for one in both) for name in _COUNTS})

    def add(self) -> None:
        """Take note of the end of a stage."""
        self.before, self._current = self._sum(), Progress()

    def leave_out(self, run: JobRun) -> None:
        """Count the blocks of a stage that is not run as finished."""
        self.finished_before += len(run.plan.grid)


class _NumberedOn:
    """Notes blocks under numbers that go on from those of the stages before."""

    def __init__(self, first: int, events: BlockLog) -> None:
        self._first = first
        self._events = events

    def block(self, number: int, roi: Roi, ended: Persist, reply: wire.TaskDone | None) -> None:
        """Pass the end of a block on."""
        self._events.block(self._first + number, roi, ended, reply)

    def attempt(self, attempted: Attempted) -> None:
        """Pass a failed attempt on."""
        self._events.attempt(msgspec.structs.replace(attempted, block=self._first + attempted.block))


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock beside a folder of temporary volumes, so that no other run of the job has them.

    Raises
    ------
    OutputRefused
        If another run holds it.
    StorageError
        If the system refuses.
    """
    with storage_errors("make", folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    lock = stages_lock(folder)
    if not lock.acquire(blocking=False):
        raise OutputRefused(f"another run of this job is at work ({folder}); wait for it or end it")
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # in use, mostly
            folder.parent.rmdir()


def _placed(stage: str, message: str) -> str:
    """A message about a stage with the stage before it, and before the key that it begins with."""
    key = message.partition(":")[0].partition(".")[0].partition(" ")[0]
    return f"stages.{stage}{'.' if key in Stage.model_fields else ': '}{message}"


def _refuse_shared_files(job: StagedJob) -> None:
    """Refuse stages that would write the same files."""
    seen: list[tuple[str, Any]] = []
    for stage in job.stage_jobs:
        claims = claims_of(split_address(stage.job.output.address))
        for name, others in seen if not stage.temporary else ():
            if (path := claims.meeting(others)) is not None:
                raise JobError(f"stages.{stage.name}.output: {path} is written by the stage {name}, too")
        if not stage.temporary:
            seen.append((stage.name, claims))
