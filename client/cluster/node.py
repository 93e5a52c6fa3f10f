"""A node of a cluster: computes exactly one block of the output, in parts."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from ...daemon.engine.engine import Engine
from ...daemon.runs.inputs.input_check import InputCheck
from ...shared.errors import BlockError, JobError, OutOfBounds
from ...shared.geometry.block_shapes import halved
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.reads import Reads
from ...shared.geometry.roi import Roi, Shape
from ...shared.lazyflow.clusterconfig import ClusterConfig
from ...shared.locking.candidates import remove_dead_candidates
from ...shared.operations.base import Operation, peak_bytes
from ...shared.units import format_count
from ...shared.volumes.base.api import Volume
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ..formatting.output import StdoutFailed, say
from ..library.streamer import BigRequestStreamer
from ..library.work import RoiRequestBatchCancelled
from .output import ClusterJob, check_dtype, is_done, task_lock
from .progresscommand import ProgressCommand


def do_block(config: ClusterConfig, work: ClusterJob, block: Roi) -> bool:
    """Compute one block of the output and mark it available at the end.

    It is computed in parts of the output's ``sub_block_shape`` (default: as large as the node's memory
    allows); each part is written before the next ones are begun.

    Parameters
    ----------
    config : ClusterConfig
    work : ClusterJob
    block : Roi
        In voxels of the output's view.

    Returns
    -------
    bool
        False if the block was available before, so that nothing was computed.

    Raises
    ------
    OutOfBounds
        If `block` is not exactly one block.
    LockTimeout
        If another node is computing this block.
    BlockmillError
        If it fails, or takes longer than ``task_timeout_secs``; then the block is not available.
    """
    _set_up_process(config, work)
    with work.open_output() as fileset:
        check_dtype(fileset, work.operation.output_dtype(work.source.dtype))
        _check_one_block(fileset, block)
        with task_lock(fileset, block.start) as lock:
            remove_dead_candidates(lock.lock_path)
            if is_done(fileset, block.start, work.name):
                return False
            _compute(config, work, fileset, block)
    return True


def _set_up_process(config: ClusterConfig, work: ClusterJob) -> None:
    """Set what the workers inherit from this process: the folder of temporary files, the module path."""
    if config.sys_tmp_dir is not None:
        if not Path(config.sys_tmp_dir).is_dir():
            raise JobError(f"{config.path}: sys_tmp_dir: {config.sys_tmp_dir} is no directory on this host")
        os.environ["TMPDIR"], tempfile.tempdir = config.sys_tmp_dir, None
    if (code := work.job.user_code) is not None:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (code, os.environ.get("PYTHONPATH"))))


def _check_one_block(fileset: BlockwiseFileset, block: Roi) -> None:
    full_block = fileset.block_roi(block.start)
    if full_block != block:
        raise OutOfBounds(f"roi {block} is not one whole block of {fileset.address}; there lies {full_block}")


def _compute(config: ClusterConfig, work: ClusterJob, fileset: BlockwiseFileset, block: Roi) -> None:
    job = work.job
    check = work.input_check()
    source_roi = block.shifted(work.roi.start)
    with ExitStack() as stack:
        progress = stack.enter_context(ProgressCommand(config.task_progress_update_command))
        engine = stack.enter_context(Engine(config.workers, preload=job.operation.preloads))
        streamer = BigRequestStreamer(
            work.source,
            source_roi,
            fileset.description.sub_block_shape
            or part_shape(config, work.operation, work.source, source_roi),
            block_alignment="relative",
            operation=work.operation,
            engine=engine,
            retries=job.retries,
            block_timeout_s=job.block_timeout_s,
        )
        streamer._check_input(check.recipe)
        fileset.set_block_status(block.start, available=False)
        streamer.result_signal.subscribe(
            lambda roi, array: fileset.write(roi.relative_to(work.roi.start), array, status="none")
        )
        streamer.progress_signal.subscribe(_tell)
        streamer.progress_signal.subscribe(progress.tell)
        _execute(streamer, config.task_timeout_secs)
        fileset.set_block_status(block.start, available=True)
    grid = BlockGrid(Roi.from_shape(block.shape), streamer.block_shape)
    halo = work.operation.halo_per_axis(work.axes)
    _tell_unchecked(check, grid, Reads(source_roi, (1,) * len(halo), halo))


def _tell_unchecked(check: InputCheck, tasks: BlockGrid, reads: Reads) -> None:
    unchecked = check.unchecked(tasks, reads, 0)
    if unchecked is not None and unchecked[0]:
        with contextlib.suppress(StdoutFailed):
            say(f"{unchecked[0]} of {format_count(unchecked[1], 'block')} of the input were not checked")


def _tell(percent: float) -> None:
    with contextlib.suppress(StdoutFailed):  # the block is what counts
        say(f"{percent} %")


def _execute(streamer: BigRequestStreamer, timeout_s: float | None) -> None:
    """Execute the streamer; cancel it after `timeout_s`."""
    if timeout_s is None:
        return streamer.execute()
    timer = threading.Timer(timeout_s, streamer.cancel)
    timer.daemon = True
    timer.start()
    try:
        return streamer.execute()
    except RoiRequestBatchCancelled as error:
        raise BlockError(f"the task took longer than task_timeout_secs, {timeout_s:g} s") from error
    finally:
        timer.cancel()


def part_shape(config: ClusterConfig, operation: Operation, source: Volume, roi: Roi) -> Shape | None:
    """Shape of the largest parts of a block that fit ``task_total_ram_mb``.

    Two parts for each worker are under way at a time; see `BigRequestStreamer`.

    Parameters
    ----------
    config : ClusterConfig
    operation : Operation
    source : Volume
    roi : Roi
        The block, in voxels of the source.

    Returns
    -------
    tuple of int or None
        None without ``task_total_ram_mb``: the streamer chooses.

    Raises
    ------
    JobError
        If not even one voxel with its halo fits.
    """
    if config.task_total_ram_mb is None:
        return None
    limit_bytes = (config.task_total_ram_mb << 20) // (2 * config.workers)
    shape, halo = roi.shape, operation.halo_per_axis(source.axes)

    def needed_bytes(shape: Shape) -> int:
        grown = tuple(n + 2 * h for n, h in zip(shape, halo, strict=True))
        return peak_bytes(operation, grown, source.dtype)

    while needed_bytes(shape) > limit_bytes:
        if math.prod(shape) == 1:
            raise JobError(
                f"{config.path}: task_total_ram_mb: {config.task_total_ram_mb} is too little for "
                f"{format_count(config.workers, 'worker')}: "
                f"a single voxel with its halo takes {needed_bytes(shape)} bytes"
            )
        shape = halved(shape)
    return shape
