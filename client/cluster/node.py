"""A node of a cluster: computes exactly one block of the output, part by part."""

from __future__ import annotations

import math
import os
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from ...daemon.engine.engine import Engine
from ...shared.errors import BlockError, JobError, OutOfBounds
from ...shared.geometry.block_shapes import halved
from ...shared.geometry.roi import Roi, Shape
from ...shared.jobs.operations import Operation, peak_bytes
from ...shared.lazyflow.clusterconfig import ClusterConfig
from ...shared.volumes.base.api import Volume
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ..library.streamer import BigRequestStreamer
from ..library.work import RoiRequestBatchCancelled
from .output import ClusterJob, check_dtype, is_done, task_lock
from .progresscommand import ProgressCommand


def do_block(config: ClusterConfig, work: ClusterJob, block: Roi) -> bool:
    """Compute one block of the output and mark it available at the end.

    It is computed in parts of the output's ``sub_block_shape`` (default: as large as the node's memory
    allows), and each is written before the next ones are begun.

    Parameters
    ----------
    block : Roi
        In voxels of the output's view.

    Returns
    -------
    bool
        False if the block was available already, and nothing was done.

    Raises
    ------
    OutOfBounds
        If `block` is not exactly one block.
    LockTimeout
        If another node does this block.
    BlockmillError
        If it fails, or takes longer than ``task_timeout_secs``; the block is not available then.
    """
    _settle(config, work)
    with work.open_output() as fileset:
        check_dtype(fileset, work.job.operation.output_dtype(work.source.dtype))
        _check_one_block(fileset, block)
        with task_lock(fileset, block.start):
            if is_done(fileset, block.start, work.name):
                return False
            _compute(config, work, fileset, block)
    return True


def _settle(config: ClusterConfig, work: ClusterJob) -> None:
    """Set up what the workers of this process inherit: the folder of temporary files, the module path."""
    if config.sys_tmp_dir is not None:
        if not Path(config.sys_tmp_dir).is_dir():
            raise JobError(f"{config.path}: sys_tmp_dir: {config.sys_tmp_dir} is no directory on this host")
        os.environ["TMPDIR"], tempfile.tempdir = config.sys_tmp_dir, None
    if (code := work.job.user_code) is not None:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (code, os.environ.get("PYTHONPATH"))))


def _check_one_block(fileset: BlockwiseFileset, block: Roi) -> None:
    whole = fileset.block_roi(block.start)
    if whole != block:
        raise OutOfBounds(f"roi {block} is not one whole block of {fileset.address}; there lies {whole}")


def _compute(config: ClusterConfig, work: ClusterJob, fileset: BlockwiseFileset, block: Roi) -> None:
    job = work.job
    taken = block.shifted(work.roi.start)
    with ExitStack() as stack:
        progress = stack.enter_context(ProgressCommand(config.task_progress_update_command))
        engine = stack.enter_context(Engine(config.workers, preload=job.operation.preload))
        streamer = BigRequestStreamer(
            work.source,
            taken,
            fileset.description.sub_block_shape or part_shape(config, job.operation, work.source, taken),
            block_alignment="relative",
            operation=job.operation,
            engine=engine,
            retries=job.retries,
            block_timeout_s=job.block_timeout_s,
        )
        fileset.set_block_status(block.start, available=False)
        streamer.result_signal.subscribe(
            lambda roi, array: fileset.write(roi.relative_to(work.roi.start), array, status="none")
        )
        streamer.progress_signal.subscribe(lambda percent: print(f"{percent} %", flush=True))
        streamer.progress_signal.subscribe(progress.tell)
        _execute(streamer, config.task_timeout_secs)
        fileset.set_block_status(block.start, available=True)


def _execute(streamer: BigRequestStreamer, timeout_s: float | None) -> None:
    """Run it, for no longer than the task may take."""
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
    """The largest parts of a block that fit ``task_total_ram_mb``; None, for the usual ones, without it.

    As many are under way as two for each worker; see `BigRequestStreamer`.
    """
    if config.task_total_ram_mb is None:
        return None
    limit = (config.task_total_ram_mb << 20) // (2 * config.workers)
    part, halo = roi.shape, operation.halo_per_axis(roi.ndim)

    def needed(shape: Shape) -> int:
        grown = tuple(n + 2 * h for n, h in zip(shape, halo, strict=True))
        return peak_bytes(operation, grown, source.dtype)

    while needed(part) > limit:
        if math.prod(part) == 1:
            raise JobError(
                f"{config.path}: task_total_ram_mb: {config.task_total_ram_mb} is too little for "
                f"{config.workers} workers: a single voxel with its halo takes {needed(part)} bytes"
            )
        part = halved(part)
    return part
