"""The cost of a job by arithmetic: voxels, files, disk, and time from a benchmark of some blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...shared.geometry.block_shapes import block_count
from ...shared.geometry.roi import Shape
from ...shared.jobs.job import Job
from ...shared.volumes.base.format import DiskCost
from .plan import Plan

_HELD_BACK_SHARE = 0.1
"""Share of the machine's memory that the system fills with written data before it begins to flush it."""


def read_voxels(plan: Plan, source_shape: Shape) -> int:
    """Number of voxels that all blocks together read, with their halo, within the input.

    Parameters
    ----------
    plan : Plan
    source_shape : tuple of int
        Voxels per axis of the input.

    Returns
    -------
    int

    Notes
    -----
    Exact, and as quick for any number of blocks: each block reads a box, so the sum over the grid is the
    product of the sums along its axes.
    """
    return math.prod(
        _read_along(total, begin, extent, block * scale, halo)
        for total, begin, extent, block, scale, halo in zip(
            source_shape,
            plan.roi.start,
            plan.roi.shape,
            plan.grid.block_shape,
            plan.reads.scale,
            plan.halo,
            strict=True,
        )
    )


def _read_along(total: int, begin: int, extent: int, block: int, halo: int) -> int:
    """Voxels that the blocks of one row read along one axis, summed; all lengths are of the input."""
    return sum(
        min(begin + min(start + block, extent) + halo, total) - max(begin + start - halo, 0)
        for start in range(0, extent, block)
    )


def written_bytes(plan: Plan) -> int:
    """Bytes of all voxels of the output; of a table, none."""
    return 0 if plan.operation.has_table else math.prod(plan.shape) * plan.dtype.itemsize


def files_made(plan: Plan, cost: DiskCost) -> int:
    """Number of files of the finished output, its records included.

    Parameters
    ----------
    plan : Plan
    cost : DiskCost
        Of the output's format.

    Returns
    -------
    int
    """
    return _units(plan, cost) * cost.files_per_unit + cost.files_beside


def _units(plan: Plan, cost: DiskCost) -> int:
    """Number of files that hold voxels."""
    return block_count(plan.shape, _unit(plan, cost))


def _unit(plan: Plan, cost: DiskCost) -> Shape:
    """Voxels per axis of a file."""
    if not cost.by_unit:
        return plan.shape
    assert plan.storage_block is not None, "a format with a file for each unit says how large it is"
    return plan.storage_block


def disk_bytes(plan: Plan, job: Job, cost: DiskCost, *, stored_ratio: float = 1.0) -> int:
    """Most bytes that the output can take on disk.

    Parameters
    ----------
    plan : Plan
    job : Job
    cost : DiskCost
        Of the output's format.
    stored_ratio : float
        Bytes on disk for each byte of voxels, if they are compressed.

    Returns
    -------
    int
    """
    if plan.operation.has_table:
        return cost.bytes_per_unit
    blocks = _unit(plan, cost)
    if cost.padded:
        voxels = _units(plan, cost) * math.prod(blocks)
        bytes_of_voxels = math.ceil(voxels * plan.dtype.itemsize * stored_ratio)
        return bytes_of_voxels + _units(plan, cost) * cost.bytes_per_unit
    chunks = job.output.stored_chunks or (1,) * len(blocks)
    voxels = math.prod(
        _stored_along(n, min(b, n), c) for n, b, c in zip(plan.shape, blocks, chunks, strict=True)
    )
    bytes_of_voxels = math.ceil(voxels * plan.dtype.itemsize * stored_ratio)
    return bytes_of_voxels + _units(plan, cost) * cost.bytes_per_unit


def _stored_along(extent: int, block: int, chunk: int) -> int:
    """Voxels that are stored along one axis: each block is filled up to whole chunks."""
    full_blocks, rest = divmod(extent, block)
    return full_blocks * _round_up(block, chunk) + _round_up(rest, chunk)


def _round_up(extent: int, chunk: int) -> int:
    step = max(min(chunk, extent), 1)
    return -(-extent // step) * step


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkTimes:
    """Times of a few blocks of a job.

    Attributes
    ----------
    blocks : int
        Number of blocks that were computed.
    startup_s : float
        Time from the plan to the first block: workers start, an output is made and closed.
    first_s : float
        Time until each worker had done about one block, with its one-time work.
    first_voxels : int
        Voxels that were read for those blocks.
    voxel_s : float
        Time for each voxel read after that, with all workers busy.
    sync_s : float
        Time to flush next to nothing to the medium.
    sync_voxel_s : float
        Additional time to flush, for each voxel read.
    stored_ratio : float
        Bytes on disk for each byte of voxels written.
    failure : str
        Reason why a block failed; empty if none did.
    """

    blocks: int
    startup_s: float
    first_s: float
    first_voxels: int
    voxel_s: float
    sync_s: float = 0.0
    sync_voxel_s: float = 0.0
    stored_ratio: float = 1.0
    failure: str = ""


def run_seconds(times: BenchmarkTimes, voxels: int, share: float, disk: int, memory: int) -> float:
    """Estimated duration of a run.

    Parameters
    ----------
    times : BenchmarkTimes
    voxels : int
        Voxels that all blocks read.
    share : float
        Share of them that is still to be computed, 0 to 1.
    disk : int
        Bytes that the whole output takes on disk.
    memory : int
        Bytes of the machine's memory.

    Returns
    -------
    float
        Seconds.
    """
    remaining_voxels = voxels * share
    if remaining_voxels <= times.first_voxels:
        compute_s = times.first_s * remaining_voxels / max(times.first_voxels, 1)
    else:
        compute_s = times.first_s + (remaining_voxels - times.first_voxels) * times.voxel_s
    medium_s = remaining_voxels * times.sync_voxel_s
    # While blocks are computed, earlier ones are flushed; at the end, what the system holds back remains.
    unflushed_share = min(1.0, memory * _HELD_BACK_SHARE / max(disk * share, 1))
    busy_s = max(compute_s, medium_s * (1 - unflushed_share))
    return times.startup_s + busy_s + times.sync_s + medium_s * unflushed_share
