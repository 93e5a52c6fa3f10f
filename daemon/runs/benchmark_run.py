"""Benchmark of a job: some of its blocks are computed into a scratch output, to estimate its duration."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...shared.files.sync import sync_filesystem
from ...shared.geometry.grid import RoiList
from ...shared.geometry.roi import Roi, Shape
from ...shared.jobs.job import Job
from ...shared.messages import engine as wire
from ..engine.engine import Engine
from ..engine.handle import Ended, Result, block_error, failure_text
from ..planning.cost import BenchmarkTimes
from ..scheduling.events import Attempted, Persist
from .outputs.output import Output
from .outputs.output_files import OutputFiles
from .outputs.output_record import OutputRecord
from .outputs.scratch_output import scratch_output
from .run import JobRun

_BLOCKS_PER_WORKER = 3
_WORTH_S = 0.8
"""A round that takes less time is followed by one of more blocks."""
_LONGEST_S = 3.0
_POLL_S = 0.05
_CANCEL_S = 3.0


def benchmark_blocks(
    run: JobRun, job: Job, engine: Engine, folder: Path, source_shape: Shape, poll: Callable[[], None]
) -> BenchmarkTimes:
    """Compute some blocks of a planned job for a few seconds, into an output in `folder`.

    Parameters
    ----------
    run : JobRun
        The job, planned.
    job : Job
    engine : Engine
    folder : Path
        Folder for the scratch output.
    source_shape : tuple of int
        Voxels per axis of the input.
    poll : callable
        Called many times a second; it may raise to end the benchmark.

    Returns
    -------
    BenchmarkTimes

    Raises
    ------
    JobError
        If no worker can open the input or import the operation.
    BlockError
        If a block fails and its failure would end the job.
    """
    started_s = time.monotonic()
    run._probe(engine)
    _, bookkeeping_s = _time_of(lambda: _write_record(folder))
    startup_s = time.monotonic() - started_s + bookkeeping_s  # the record is written twice
    rounds = _Rounds(run, job, engine, folder, source_shape, poll)
    _sync(folder)
    (folder / "little").touch()
    _, sync_s = _time_of(lambda: _sync(folder))
    first = latest = rounds.run(_BLOCKS_PER_WORKER * engine.workers)
    if not latest.final and latest.seconds < _WORTH_S:
        more = latest.count * _WORTH_S / max(latest.seconds, 1e-3)
        latest = rounds.run(int(more))
    syncs = job.output.durability == "group" or run.output.merges
    return BenchmarkTimes(
        blocks=rounds.blocks_done,
        startup_s=startup_s,
        first_s=first.first_s,
        first_voxels=first.first_voxels,
        voxel_s=latest.voxel_s,
        sync_s=sync_s if syncs else 0.0,
        sync_voxel_s=max(latest.sync_s - sync_s, 0.0) / latest.voxels if syncs else 0.0,
        stored_ratio=latest.stored_ratio if job.output.compressed else 1.0,
        failure=first.failure or latest.failure,
    )


def _write_record(folder: Path) -> None:
    files = OutputFiles(folder / "record")
    files.make_folder()
    files.write_record(OutputRecord({}, (), finished=False))


def _time_of(action: Callable[[], Any]) -> tuple[Any, float]:
    started_s = time.monotonic()
    return action(), time.monotonic() - started_s


def _sync(folder: Path) -> None:
    sync_filesystem(folder)


def spread(blocks: int, count: int) -> list[int]:
    """Numbers of blocks, evenly spread over the grid.

    Parameters
    ----------
    blocks : int
        Blocks of the grid.
    count : int
        Blocks to choose; all if there are fewer.

    Returns
    -------
    list of int
    """
    count = min(count, blocks)
    return [(2 * i + 1) * blocks // (2 * count) for i in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """Times of one round: some blocks, computed by all workers.

    `final` is True if another round would not measure more: this one was cut off, or had all blocks.
    """

    count: int
    voxels: int
    seconds: float
    first_s: float
    first_voxels: int
    voxel_s: float
    sync_s: float
    stored_ratio: float
    final: bool
    failure: str


class _Clock:
    """Records the time at which each block was finished; called in the engine's thread."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, int]] = []

    def block(self, number: int, roi: Roi, ended: Persist, reply: wire.TaskDone | None) -> None:
        """Record that a block is done, or has failed for good."""
        if ended.state == "done":
            self.ends.append((time.monotonic(), number))

    def attempt(self, attempted: Attempted) -> None:
        """Do nothing: a failed attempt is reported at the end."""


class _Rounds:
    """Computes blocks of a job, each round into an output of its own."""

    def __init__(
        self,
        run: JobRun,
        job: Job,
        engine: Engine,
        folder: Path,
        source_shape: Shape,
        poll: Callable[[], None],
    ) -> None:
        self.blocks_done = 0
        self._run = run
        self._job = job
        self._engine = engine
        self._folder = folder
        self._input_roi = Roi.from_shape(source_shape)
        self._poll = poll
        self._rounds = 0

    def run(self, count: int) -> _Round:
        """Compute `count` blocks, after a first one in each worker that includes its one-time work."""
        grid = self._run.plan.grid
        rois = [grid.roi_of(number) for number in spread(len(grid), count + self._engine.workers)]
        self._rounds += 1
        output = scratch_output(self._job, self._run.plan, self._folder / f"round-{self._rounds}")
        output.start()
        clock = _Clock()
        started_s = time.monotonic()
        try:
            ended = self._run_blocks(output, rois, clock, started_s + _LONGEST_S)
            _, sync_s = _time_of(lambda: (output.close(), _sync(self._folder)))
        finally:
            output.close()
        self.blocks_done += len(clock.ends)
        return self._measure(rois, clock, started_s, ended, sync_s, output)

    def _run_blocks(self, output: Output, rois: list[Roi], clock: _Clock, deadline_s: float) -> Ended | None:
        """Compute the blocks. Returns None if the deadline came first and the rest was cancelled."""
        spec = output.spec(self._run._recipe(), b"", self._engine.workers)
        spec = self._run._with_job_settings(spec)
        handle = self._engine.submit(replace(spec, blocks=RoiList(rois), retries=0, events=clock))
        try:
            while not isinstance(item := handle.next(_POLL_S), Ended):
                self._poll()
                if isinstance(item, Result):
                    output.merge(item)
                    handle.merged(item.block)
                if clock.ends and time.monotonic() > deadline_s:
                    handle.cancel()
                    handle.drain(_CANCEL_S)
                    return None
        except BaseException:
            handle.cancel()
            handle.drain(_CANCEL_S)
            raise
        if item.outcome not in ("done", "done_with_failures") or not clock.ends:
            raise block_error(item)
        return item

    def _measure(
        self,
        rois: list[Roi],
        clock: _Clock,
        started_s: float,
        ended: Ended | None,
        sync_s: float,
        output: Output,
    ) -> _Round:
        ends = list(clock.ends)
        sizes = [self._voxels_read(rois[number]) for _, number in ends]
        first = min(self._engine.workers, len(ends))
        first_s, first_voxels = ends[first - 1][0] - started_s, sum(sizes[:first])
        voxels, seconds = sum(sizes[first:]), ends[-1][0] - ends[first - 1][0]
        written = sum(rois[number].volume for _, number in ends) * self._run.plan.dtype.itemsize
        return _Round(
            count=len(ends) - first,
            voxels=sum(sizes),
            seconds=seconds,
            first_s=first_s,
            first_voxels=first_voxels,
            voxel_s=seconds / voxels if voxels else first_s / first_voxels,
            sync_s=sync_s,
            stored_ratio=output.stored_bytes() / written,
            final=ended is None or len(ends) == len(self._run.plan.grid),
            failure=failure_text(ended, 1) if ended is not None else "",
        )

    def _voxels_read(self, roi: Roi) -> int:
        """Number of voxels that are read for a block."""
        plan = self._run.plan
        return plan.reads.kept(roi).grown(plan.halo, within=self._input_roi).volume
