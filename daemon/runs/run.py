"""One run of one job, from its file to its finished output; command line and service use the same.

Plan, lock the output (one run at a time), check that an existing output may be resumed, feed the engine,
merge the results, and tidy up however the run ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from ...shared.errors import BlockmillError, EngineError, JobError, OutputRefused
from ...shared.files.refusals import system_errors
from ...shared.files.sync import sync_filesystem
from ...shared.geometry.grid import BlockGrid, RoiList
from ...shared.jobs.job import Job
from ...shared.messages import engine as wire
from ...shared.outside_text import message_of
from ...shared.volumes.registry import format_of, split_address
from ..engine.engine import Engine
from ..engine.handle import Ended, JobHandle, Notice, Result
from ..engine.job import BlockLog, JobOwner, JobSpec
from ..planning.plan import halo_check, make_plan
from .inputs.input_state import changed_while_running, code_notes, code_of, python_files_hash
from .inputs.run_inputs import RunInputs
from .outputs.ledger_check import WorkersCompare
from .outputs.making import output_of
from .outputs.output_record import OutputRecord
from .outputs.ownership import begin, identity_of, own_record
from .reports import Summary, Watcher

_POLL_S = 0.1
_CANCEL_S = 3.0
_INTERPRETER_BYTES = 96 << 20
"""Memory of a worker before its first block; `memory_per_worker` is a limit for the blocks alone."""


class JobRun:
    """A job with its input opened and its plan made.

    Parameters
    ----------
    job : Job
    workers : int
        Worker processes of the engine that will run it.
    overwrite : bool
        Replace an output that exists.
    keep_finished : bool
        Keep the finished blocks of an output although the user's code has changed since.
    watcher : Watcher, optional
        Receives plan, progress and notices.
    number : int, optional
        Number of the job in the engine's list of workers.
    owner : JobOwner, optional
        Owner and priority of the job among others in the engine.
    events : BlockLog, optional
        Notes each block that has ended and each failed attempt, in the engine's thread.
    only : frozenset of int, optional
        Numbers of the only blocks to compute, of an output that was begun; the job does not end as done then.
    made : dict of str to JobRun, optional
        For inputs that another run makes before this one is executed, that run.

    Attributes
    ----------
    plan : Plan
    inputs : RunInputs
    output : Output
    overwrite : bool
        As given; it counts when the run is executed.

    Raises
    ------
    JobError
        If input, output, roi or operation don't fit each other.
    """

    @system_errors()
    def __init__(
        self,
        job: Job,
        workers: int,
        *,
        overwrite: bool = False,
        keep_finished: bool = False,
        watcher: Watcher | None = None,
        number: int | None = None,
        owner: JobOwner | None = None,
        events: BlockLog | None = None,
        only: frozenset[int] | None = None,
        made: Mapping[str, JobRun] | None = None,
    ) -> None:
        self._job = job
        self._only = only
        self._number = number
        self._owner = owner or JobOwner()
        self._events = events
        self.overwrite = overwrite
        self._keep_finished = keep_finished
        self._watcher = watcher or Watcher()
        if job.user_code is not None and not Path(job.user_code).is_dir():
            raise JobError(f"user_code: there is no folder {job.user_code}")
        target = split_address(job.output.address)
        plans = {name: (run.plan, run.identity_hash) for name, run in (made or {}).items()}
        self.inputs = RunInputs(job, target, plans)
        with self.inputs.opened() as volumes:
            self.plan = make_plan(job, volumes, workers, format_of(target))
            self._code = code_of(job, self.inputs.reads)
            self.inputs.note(volumes)
        self._identity = identity_of(job, self.plan, self.inputs.identity(), target, self._code)
        self._earlier: OutputRecord | None = None
        self._target = target
        self.output = output_of(target, job, self.plan)

    @system_errors()
    def execute(self, engine: Engine) -> Summary:
        """Run to the end, in the calling thread.

        Returns
        -------
        Summary

        Raises
        ------
        OutputRefused
            If the output exists and is not this job's, or another run holds it.
        KeyboardInterrupt
            After running blocks were ended and their partial files removed; a later run can resume.
        """
        started_s = time.monotonic()
        self._probe(engine)
        with self.output.files.held():
            done, resumed = self._take_output(engine)
            for note in (*self.plan.notes, *code_notes(self._code), *self.inputs.notes()):
                self._notify(note)
            self._watcher.planned(len(self.plan.grid), sum(done))
            try:
                ended, handle = self._run_blocks(engine, done, resumed)
            finally:
                self.output.close()
            ended = self._unless_changed(ended)
            if ended.outcome == "done":
                self.output.finish(self._compare(engine))
                self._sync()
                self.output.files.write_record(self._record(finished=True))
        return self._summary(ended, handle, done, time.monotonic() - started_s)

    # -- the output -----------------------------------------------------------------

    @property
    def identity_hash(self) -> str:
        """A name for all that decides the voxels of the output."""
        return OutputRecord(self._identity, self.plan.grid.block_shape).block_hash

    @system_errors()
    def is_finished(self) -> bool:
        """True if an earlier run has recorded that this output is whole; its blocks are not looked at."""
        record = self.own_record()
        return record is not None and record.finished and self.output.path.exists()

    def _record(self, finished: bool) -> OutputRecord:
        if self._earlier is not None:
            return replace(self._earlier, finished=finished)
        return OutputRecord(self._identity, self.plan.grid.block_shape, finished)

    def _take_output(self, engine: Engine) -> tuple[bytes, bool]:
        """Make the output, or resume it. Returns its map of finished blocks, and True if it is resumed."""
        record = None if self.overwrite else self.own_record()
        begun = record is not None and self.output.begun()
        if self._only is not None and not begun:
            raise OutputRefused(f"{self.output.path} is gone; retry the job without --failed to begin anew")
        if record is None or not begun:
            begin(self.output, self._record(finished=False), self._check_interrupt, self._notify)
            return b"", False
        self.reuse_grid(record)
        self.output.files.take_up_old()
        self._earlier = record
        if self.output.files.read_record() != record:
            self.output.files.write_record(record)
        return self.output.go_on(self._compare(engine), self._notify), True

    def _compare(self, engine: Engine) -> WorkersCompare:
        """What compares blocks of the output with their checksums."""
        return WorkersCompare(
            engine,
            self.plan.grid,
            retries=self._job.retries,
            number=self._number,
            owner=self._owner,
            started=self._watcher.started,
            poll=self._check_interrupt,
            tell=self._watcher.notice,
        )

    def own_record(self) -> OutputRecord | None:
        """The record of this job's output, or None if nothing of it exists.

        Raises
        ------
        OutputRefused
            If the output is another job's, or its job is unknown.
        """
        return own_record(
            self.output,
            self._record(finished=False),
            lambda: python_files_hash(self._job),
            keep_finished=self._keep_finished,
        )

    def reuse_grid(self, record: OutputRecord) -> None:
        """Use the task blocks of the run that began the output; that run may have had other workers."""
        if record.task_block != self.plan.grid.block_shape:
            block = tuple(map(min, record.task_block, self.plan.shape))
            grid = BlockGrid(self.plan.grid.roi, block)
            self.plan = replace(self.plan, grid=grid)
            self.output = output_of(self._target, self._job, self.plan)

    def _notify(self, text: str) -> None:
        self._watcher.notice(Notice(text))

    # -- the work -------------------------------------------------------------------

    def _recipe(self) -> wire.Recipe:
        """The recipe of a probe: input and operation, nothing of the output."""
        return wire.Recipe(
            sources=self.inputs.sources(),
            mask=self.inputs.mask_source(),
            operation=self.plan.operation.to_plain(),
            axes=self.plan.axes,
            offset=self.plan.roi.start,
            part_stop=self.plan.roi.stop,
            user_code=self._job.user_code,
            code_files={} if self._code is None else self._code.own,
            identity=self._owner.identity,
            confinement=self._owner.confinement,
        )

    def _probe(self, engine: Engine) -> None:
        """Let a worker open the input and import the operation, before any output is touched.

        A worker that dies meanwhile costs an attempt, as at any block: it may have been killed for
        reasons that have nothing to do with the job. What it raises ends the job at once.
        """
        for attempts_left in range(self._job.retries, -1, -1):
            ended = self._probe_once(engine)
            if ended.outcome == "done":
                return
            reason = ended.failures[0][2] if ended.failures else ended.cause
            if not (ended.outcome == "done_with_failures" and attempts_left):
                raise JobError(reason)
            self._watcher.notice(Notice(f"the trial of input and operation is made again: {reason}"))

    def _probe_once(self, engine: Engine) -> Ended:
        recipe = msgspec.structs.replace(self._recipe(), probe=True)
        blocks = RoiList([self.plan.grid.roi_of(0)])
        spec = JobSpec(recipe=recipe, blocks=blocks, retries=0, number=self._number, owner=self._owner)
        handle = engine.submit(spec)
        self._watcher.started(handle)
        ended = handle.wait(self._check_interrupt, self._watcher.notice, cancel_s=0)
        if ended.error is not None:
            raise EngineError(ended.cause) from ended.error
        return ended

    def _run_blocks(self, engine: Engine, done: bytes, resumed: bool) -> tuple[Ended, JobHandle]:
        recipe = msgspec.structs.replace(
            self._recipe(),
            job_hash=self._record(False).block_hash,
            resume=resumed,
            **halo_check(self.plan),
        )
        excluded = self._excluded_blocks(done)
        handle = engine.submit(self._with_job_settings(self.output.spec(recipe, excluded, engine.workers)))
        self._watcher.started(handle)
        try:
            return self._adjust_outcome(self._watch(handle)), handle
        except BaseException:
            handle.cancel()
            ended = handle.drain(_CANCEL_S)
            self.output.sweep(ended.interrupted if ended is not None else [])
            raise

    def _excluded_blocks(self, done: bytes) -> bytes:
        """Map of the blocks that are not computed: finished ones, and ones that are not in `only`."""
        if self._only is None:
            return done
        excluded = bytearray(b"\1") * len(self.plan.grid)
        for number in self._only:
            excluded[number] = done[number] if done else 0
        return bytes(excluded)

    def _adjust_outcome(self, ended: Ended) -> Ended:
        """The end of the job; if some blocks were excluded it is not done, even if all others are."""
        if self._only is None or ended.outcome not in ("done", "done_with_failures"):
            return ended
        cause = "" if ended.failures else "the blocks that had failed are done, others were never begun"
        return replace(ended, outcome="failed", cause=cause)

    def _unless_changed(self, ended: Ended) -> Ended:
        """The end of the job: failed if what it reads has changed since its beginning."""
        if ended.outcome != "done":
            return ended
        cause = changed_while_running(self.inputs.changed(), self._job, self.inputs.reads, self._code)
        return replace(ended, outcome="failed", cause=cause) if cause else ended

    def _with_job_settings(self, spec: JobSpec) -> JobSpec:
        """`spec` with the job's limits of workers and memory, its number, owner and log."""
        max_open = spec.max_open
        if (workers := self._job.workers) is not None:
            max_open = workers if max_open is None else min(workers, max_open)
        memory_bytes = self._job.memory_per_worker
        if memory_bytes is not None:
            memory_bytes += _INTERPRETER_BYTES
        return replace(
            spec,
            max_open=max_open,
            memory_bytes=memory_bytes,
            number=self._number,
            owner=self._owner,
            events=self.output.log(self._events),
        )

    def _sync(self) -> None:
        """Flush the blocks to the medium, before the record says that the job is finished."""
        if self._job.output.durability == "group":
            sync_filesystem(self.output.path)

    def _watch(self, handle: JobHandle) -> Ended:
        """Merge and report until the job has ended.

        Raises
        ------
        EngineError
            If the engine broke down; that is no fault of the job.
        """
        while True:
            self._check_interrupt()
            item = handle.next(_POLL_S)
            match item:
                case Result():
                    self._merge(handle, item)
                case Notice():
                    self._watcher.notice(item)
                case Ended():
                    self._watcher.progress(handle.progress)
                    self.output.sweep(item.interrupted)
                    if item.error is not None:
                        raise EngineError(item.cause) from item.error
                    return item
            self._watcher.progress(handle.progress)

    def _check_interrupt(self) -> None:
        if self._watcher.interrupted():
            raise KeyboardInterrupt

    def _merge(self, handle: JobHandle, result: Result) -> None:
        try:
            self.output.merge(result)
        except (OSError, BlockmillError) as error:
            handle.merge_failed(
                result.block, f"writing {result.roi} to {self.output.path}: {message_of(error)}"
            )
        else:
            handle.merged(result.block)

    def _summary(self, ended: Ended, handle: JobHandle, done: bytes, seconds: float) -> Summary:
        totals = handle.progress
        failures = [(f"block {roi}", reason) for _, roi, reason in ended.failures]
        if ended.cause and not failures:
            failures = [("the job", ended.cause)]
        finished_before = sum(done)
        checked = None
        if ended.outcome == "done":
            checked = self.inputs.unchecked(self.plan.grid, self.plan.reads, totals.unrecorded)
        return Summary(
            outcome=ended.outcome,
            blocks=len(self.plan.grid),
            finished=totals.blocks + finished_before,
            skipped=totals.skipped + finished_before,
            voxels=totals.voxels,
            seconds=seconds,
            bytes_written=totals.bytes_written,
            output=self._job.output.address,
            retries=totals.retries,
            failures=failures,
            input_blocks=checked and checked[1],
            input_unchecked=checked and checked[0],
            masked=totals.masked,
            table=self.output.table() if ended.outcome == "done" else None,
        )
