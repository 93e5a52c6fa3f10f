"""The plan of a job: which blocks, how large, with how much memory, into what.

Task blocks are whole multiples of the output's storage blocks, so that each block file has
one writer; among those the planner takes the size that reads few voxels twice, fits into
the memory of a worker, and still leaves enough blocks to keep all workers busy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import psutil

from ...shared.errors import JobError, OutOfBounds
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi, Shape
from ...shared.jobs.job import Job
from ...shared.jobs.operations import peak_bytes
from ...shared.volumes.base.api import Volume

DEFAULT_BLOCK_VOXELS = 128**3
BLOCKS_PER_WORKER = 8
_HALO_COST_ALLOWED = 1.15
_WORTHWHILE_BYTES = 1 << 20
_LARGEST_DEFAULT_MEMORY_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job comes down to.

    Attributes
    ----------
    roi : Roi
        What is taken of the input, in input voxels.
    grid : BlockGrid
        Task blocks over ``[0, roi.shape)``, the coordinates of the output.
    storage_block : tuple of int or None
        Extent of the output's block files or chunks, None where it has none.
    halo : tuple of int
        Voxels read around a block, per axis.
    dtype : numpy.dtype
        Element type of the output.
    axes : str
        As the input's.
    task_bytes : int
        Estimated memory of one task in a worker.
    notes : tuple of str
        What was decided otherwise than asked, for people.
    """

    roi: Roi
    grid: BlockGrid
    storage_block: Shape | None
    halo: Shape
    dtype: np.dtype
    axes: str
    task_bytes: int
    notes: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> Shape:
        """Shape of the output."""
        return self.roi.shape


def make_plan(job: Job, source: Volume, workers: int, *, per_file_blocks: bool) -> Plan:
    """Plan `job` on its opened input.

    Parameters
    ----------
    job : Job
    source : Volume
        The input.
    workers : int
        How many workers share the job.
    per_file_blocks : bool
        Whether the output has one file per block (and so needs a block shape).

    Raises
    ------
    JobError
        If roi, block shapes or operation don't fit the input, or a block needs more
        memory than a worker may take.
    """
    ndim = len(source.shape)
    roi = _roi_of(job, source)
    job.operation.check(ndim, source.dtype)
    storage = _fitting(job.output.block_shape, roi.shape, "output.block_shape")
    if storage is None and per_file_blocks:
        storage = default_block_shape(roi.shape, source.axes)
    storage = storage or _fitting(job.output.chunks, roi.shape, "output.chunks")
    sizing = Sizing(
        shape=roi.shape,
        step=storage or (1,) * ndim,
        halo=job.operation.halo(ndim),
        voxel_bytes=peak_bytes(job.operation, (1,) * ndim, source.dtype),
        memory_bytes=job.memory_per_worker or default_memory_bytes(workers),
        least_blocks=BLOCKS_PER_WORKER * workers,
    )
    asked = _fitting(job.block_shape, roi.shape, "block_shape")
    start = asked or storage or default_block_shape(roi.shape, source.axes)
    block, notes = sizing.aligned(start)
    if asked is None:
        block = sizing.chosen(block)
    sizing.check_memory(block)
    return Plan(
        roi=roi,
        grid=BlockGrid(Roi.from_shape(roi.shape), block),
        storage_block=storage,
        halo=sizing.halo,
        dtype=job.operation.output_dtype(source.dtype),
        axes=source.axes,
        task_bytes=sizing.task_bytes(block),
        notes=notes,
    )


def _roi_of(job: Job, source: Volume) -> Roi:
    if job.roi is None:
        return Roi.from_shape(source.shape)
    try:
        roi = Roi.of(job.roi)
        roi.check_within(source.shape, f"input {source.address}")
    except OutOfBounds as error:
        raise OutOfBounds(f"roi: {str(error).removeprefix('roi ')}") from None
    return roi


def _fitting(block: Shape | None, shape: Shape, key: str) -> Shape | None:
    if block is not None and len(block) != len(shape):
        raise JobError(f"{key}: {list(block)} has {len(block)} axes, the volume has {len(shape)}")
    return None if block is None else tuple(block)


def default_memory_bytes(workers: int) -> int:
    """What a worker may take where the job doesn't say: half of what is free, shared out."""
    share = psutil.virtual_memory().available // (2 * workers)
    return min(share, _LARGEST_DEFAULT_MEMORY_BYTES)


def default_block_shape(shape: Shape, axes: str, voxels: int = DEFAULT_BLOCK_VOXELS) -> Shape:
    """A nearly cubic block of about `voxels`: one time point, all channels, the rest isotropic."""
    block = [1 if axis == "t" else n for axis, n in zip(axes, shape, strict=True)]
    free = [i for i, axis in enumerate(axes) if axis not in "tc"]
    left = max(voxels // math.prod(n for i, n in enumerate(block) if i not in free), 1)
    # Short axes first: what they can't use goes to the longer ones.
    for remaining, i in zip(range(len(free), 0, -1), sorted(free, key=lambda i: shape[i]), strict=True):
        block[i] = max(min(shape[i], int(left ** (1 / remaining) + 0.5)), 1)
        left = max(left // block[i], 1)
    return tuple(block)


@dataclass(frozen=True, slots=True)
class Sizing:
    """Everything that the choice of a task block depends on.

    Attributes
    ----------
    shape : tuple of int
        What is cut into blocks.
    step : tuple of int
        A block should be a whole multiple of this.
    halo : tuple of int
        Voxels read around a block, per axis.
    voxel_bytes : float
        Memory that a task takes for each voxel that it reads.
    memory_bytes : int
        What one task may take.
    least_blocks : int
        Growing a block stops before there are fewer.
    """

    shape: Shape
    step: Shape
    halo: Shape
    voxel_bytes: float
    memory_bytes: int
    least_blocks: int

    def aligned(self, block: Shape) -> tuple[Shape, tuple[str, ...]]:
        """`block` rounded up to whole storage blocks, and a note where that changed it."""
        rounded = tuple(-(-n // s) * s for n, s in zip(block, self.step, strict=True))
        covers = all(n >= m for n, m in zip(block, self.shape, strict=True))
        if rounded == tuple(block) or covers:
            return rounded, ()
        text = "task blocks {} become {}, whole storage blocks of the output, so that each has one writer"
        return rounded, (text.format(list(block), list(rounded)),)

    def chosen(self, block: Shape) -> Shape:
        """`block` grown while that saves reading, fits the memory, and leaves blocks enough."""
        while self._reread(block) > _HALO_COST_ALLOWED or self._bytes(block) < _WORTHWHILE_BYTES:
            grown = [self._doubled(block, i) for i, n in enumerate(block) if n < self.shape[i]]
            grown = [b for b in grown if self._allowed(b)]
            if not grown:
                break
            block = min(grown, key=lambda b: (self._reread(b), max(b)))
        return block

    def _doubled(self, block: Shape, axis: int) -> Shape:
        return tuple(n * 2 if i == axis else n for i, n in enumerate(block))

    def _allowed(self, block: Shape) -> bool:
        count = math.prod(-(-m // n) for m, n in zip(self.shape, block, strict=True))
        return count >= self.least_blocks and self.task_bytes(block) <= self.memory_bytes

    def _clipped(self, block: Shape) -> Shape:
        return tuple(map(min, block, self.shape))

    def _bytes(self, block: Shape) -> float:
        return math.prod(self._clipped(block)) * self.voxel_bytes

    def _with_halo(self, block: Shape) -> int:
        clipped = self._clipped(block)
        return math.prod(min(n + 2 * h, m) for n, h, m in zip(clipped, self.halo, self.shape, strict=True))

    def _reread(self, block: Shape) -> float:
        """Voxels read per voxel kept."""
        return self._with_halo(block) / math.prod(self._clipped(block))

    def task_bytes(self, block: Shape) -> int:
        """Estimated memory of one task."""
        return int(self._with_halo(block) * self.voxel_bytes)

    def check_memory(self, block: Shape) -> None:
        """Refuse a block that no worker could hold."""
        if (needed := self.task_bytes(block)) > self.memory_bytes:
            raise JobError(
                f"one block of {list(block)} voxels with halo {list(self.halo)} needs about "
                f"{needed >> 20} MiB, a worker may take {self.memory_bytes >> 20} MiB: "
                "choose a smaller block_shape, fewer workers, or more memory_per_worker"
            )
