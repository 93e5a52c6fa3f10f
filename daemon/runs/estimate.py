"""Estimate of a job before it runs: arithmetic, free disk and memory, a benchmark of some blocks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...shared.geometry.roi import Roi, Shape
from ...shared.jobs.job import Job
from ...shared.units import format_size
from ..engine.engine import Engine
from ..executors.local.memory import available_bytes, total_bytes
from ..planning.cost import BenchmarkTimes, disk_bytes, files_made, read_voxels, run_seconds, written_bytes
from ..planning.plan import default_memory_bytes
from .benchmark_run import benchmark_blocks
from .run import JobRun

_OPEN_RESULTS_PER_WORKER = 4
_BENCHMARK_ROOM_BYTES = 256 << 20
_BENCHMARK_BLOCKS_PER_WORKER = 8
_MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The result of a dry run; sizes in bytes, times in seconds, None if unknown.

    Attributes
    ----------
    output : str
        Address of the output.
    blocks, blocks_finished : int, int or None
        Number of task blocks, and of those that an earlier run has finished.
    task_block, storage_block, halo : tuple of int
        Voxels per axis; `storage_block` is None if the output has none.
    workers : int
    memory_per_worker_bytes, memory_limit_bytes : int
        Estimated memory of one block, and its limit.
    memory_bytes, memory_available_bytes : int
        Estimated memory of all workers and of results that wait to be merged; free memory of the machine.
    bytes_read, bytes_written : int
        Bytes of voxels; a voxel that several blocks read for their halo counts each time.
    files : int
        Number of files of the output.
    disk_needed_bytes, disk_free_bytes : int
        Most bytes that the whole output can take; free bytes of its file system.
    seconds, startup_s : float or None
        Duration of the run, and the part of it before the first block.
    blocks_tried : int
        Number of blocks that were computed to measure the time.
    warnings : list of str
    """

    output: str
    blocks: int
    blocks_finished: int | None
    task_block: Shape
    storage_block: Shape | None
    halo: Shape
    workers: int
    memory_per_worker_bytes: int
    memory_limit_bytes: int
    memory_bytes: int
    memory_available_bytes: int
    bytes_read: int
    bytes_written: int
    files: int
    disk_needed_bytes: int
    disk_free_bytes: int
    seconds: float | None
    startup_s: float | None
    blocks_tried: int
    warnings: list[str]


def estimate(
    job: Job, engine: Engine, folder: Path, *, overwrite: bool, poll: Callable[[], None]
) -> Estimate:
    """Estimate time, memory and disk of a job.

    Parameters
    ----------
    job : Job
    engine : Engine
        With as many workers as the job will have.
    folder : Path
        Folder for scratch files; best on the file system of the output.
    overwrite : bool
        True if the run will replace an output that exists.
    poll : callable
        Called many times a second while blocks are computed; it may raise to end the estimate.

    Returns
    -------
    Estimate

    Raises
    ------
    JobError, OutputRefused, BlockError
        As the run itself would.
    """
    run = JobRun(job, engine.workers, overwrite=overwrite)
    finished = 0 if overwrite else finished_blocks(run)
    source_shape = run.inputs.shape
    times = None
    if shutil.disk_usage(folder).free > _room(run, engine.workers):
        times = benchmark_blocks(run, job, engine, folder, source_shape, poll)
    plan, cost = run.plan, run.output.format.cost
    ratio = times.stored_ratio if times is not None else 1.0
    disk = disk_bytes(plan, job, cost, stored_ratio=ratio)
    voxels = read_voxels(plan, source_shape)
    share = 1 - (finished or 0) / len(plan.grid)
    free = shutil.disk_usage(_existing(run.output.path.parent)).free
    limit = job.memory_per_worker or default_memory_bytes(engine.workers)
    memory = _memory(run, engine.workers)
    available = available_bytes()
    return Estimate(
        output=job.output.address,
        blocks=len(plan.grid),
        blocks_finished=finished,
        task_block=plan.grid.block_shape,
        storage_block=plan.storage_block,
        halo=plan.halo,
        workers=engine.workers,
        memory_per_worker_bytes=plan.task_bytes,
        memory_limit_bytes=limit,
        memory_bytes=memory,
        memory_available_bytes=available,
        bytes_read=voxels * run.inputs.itemsize,
        bytes_written=written_bytes(plan),
        files=files_made(plan, cost),
        disk_needed_bytes=disk,
        disk_free_bytes=free,
        seconds=run_seconds(times, voxels, share, disk, total_bytes()) if times is not None else None,
        startup_s=times.startup_s if times is not None else None,
        blocks_tried=times.blocks if times is not None else 0,
        warnings=[*plan.notes, *_warnings(times, round(disk * share), free, memory, available)],
    )


def _room(run: JobRun, workers: int) -> int:
    """Free disk, in bytes, that a benchmark needs: a full disk would end more than the benchmark."""
    block = Roi.from_shape(run.plan.grid.block_shape).volume * run.plan.dtype.itemsize
    return _BENCHMARK_ROOM_BYTES + _BENCHMARK_BLOCKS_PER_WORKER * workers * block


def _memory(run: JobRun, workers: int) -> int:
    """Memory of all workers at once, and of the results that wait to be merged."""
    plan = run.plan
    memory = workers * plan.task_bytes
    if run.output.merges and not plan.operation.has_table:
        results = min(_OPEN_RESULTS_PER_WORKER * workers, len(plan.grid))
        memory += results * Roi.from_shape(plan.grid.block_shape).volume * plan.dtype.itemsize
    return memory


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((path for path in (folder, *folder.parents) if path.is_dir()), Path(os.sep))


def _warnings(times: BenchmarkTimes | None, disk: int, free: int, memory: int, available: int) -> list[str]:
    warnings: list[str] = []
    if disk > free:
        sizes = f"{format_size(disk)} are needed, {format_size(free)} are free"
        warnings.append(f"the disk is too small: {sizes}")
    if memory > available:
        warnings.append(
            f"memory is short: {format_size(memory)} may be needed, {format_size(available)} are free; "
            "fewer workers will be busy at a time"
        )
    if times is None:
        warnings.append("the disk is too full to try any blocks, so the time is not known")
    elif times.failure:
        warnings.append(f"of the blocks that were tried, one failed: {times.failure}")
    return warnings


def finished_blocks(run: JobRun) -> int | None:
    """Number of finished blocks of a job, without a check of their content.

    The run gets the task blocks of the run that began the output.

    Returns
    -------
    int or None
        None if there are too many blocks to count.

    Raises
    ------
    OutputRefused
        If the output is there and is not this job's, or another run holds it.
    """
    run.output.files.check_free()
    record = run.own_record()
    if record is None:
        return 0
    run.reuse_grid(record)
    return run.output.count_finished(_MOST_COUNTED)
