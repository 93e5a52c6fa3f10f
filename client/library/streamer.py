"""One large roi, computed block by block and handed to callbacks."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...daemon.engine.engine import Engine
from ...daemon.planning.plan import BLOCKS_PER_WORKER, default_memory_bytes
from ...daemon.planning.sizing import Sizing
from ...daemon.scheduling.events import OnError
from ...shared.errors import JobError
from ...shared.geometry.block_shapes import block_count, default_block_shape, halved
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.reads import Reads
from ...shared.geometry.roi import Roi, Shape, as_shape
from ...shared.geometry.slicing import AnyRoi, checked_roi
from ...shared.operations.base import Operation, peak_bytes
from ...shared.volumes.base.api import Volume
from ...shared.volumes.sources import Source, as_volume
from .batch import RoiRequestBatch
from .work import AnyOperation, as_operation, workers_for

_WORTH_SPLITTING_VOXELS = 64**3


class BigRequestStreamer(RoiRequestBatch):
    """Compute one large roi block by block, and hand each block to `result_signal`.

    Parameters
    ----------
    source, allow_parallel_results, operation, engine, ordered, retries, on_error, block_timeout_s
        As for `RoiRequestBatch`. Ordered: in C order of the blocks.
    roi : (start, stop), Roi or slicing, optional
        Half-open, in voxels, within the source, or as ``np.s_[0:64, ..., 5:9]``. Default: all of it.
    block_shape : tuple of int, optional
        Voxels per axis. Default: whole storage blocks of the source, grown while that saves
        reading and fits the memory, cut where one would be too large for it or would leave
        workers without any. (The original made one request of a volume that fits the memory.)
    batch_size : int, optional
        Default: two for each worker, so that none waits for a callback.
    block_alignment : {"absolute", "relative"}
        The grid of blocks starts at the origin of the source, or at ``roi[0]``.

    Attributes
    ----------
    block_shape : tuple of int
        Of the blocks, those at the edges excepted.

    Raises
    ------
    JobError
        If an argument is out of bounds, or they don't fit each other.
    """

    def __init__(
        self,
        source: Source,
        roi: AnyRoi = None,
        block_shape: Iterable[int] | None = None,
        batch_size: int | None = None,
        block_alignment: str = "absolute",
        allow_parallel_results: bool = False,
        *,
        operation: AnyOperation = None,
        engine: Engine | None = None,
        ordered: bool = False,
        retries: int = 2,
        on_error: OnError = "fail",
        block_timeout_s: float | None = None,
    ) -> None:
        if block_alignment not in ("absolute", "relative"):
            raise JobError(f'block_alignment {block_alignment!r}: it is "absolute" or "relative"')
        volume, spec = as_volume(source), as_operation(operation)
        full_roi = checked_roi(roi, volume.shape, f"volume {volume.address}")
        spec.check(volume.axes, volume.dtype)
        workers = engine.workers if engine is not None else workers_for(None)
        if block_shape is None:
            block_shape = _default_block(volume, full_roi, spec, workers)
        anchor = full_roi.start if block_alignment == "relative" else (0,) * full_roi.ndim
        self.block_shape = as_shape(block_shape)
        super().__init__(
            volume,
            BlockGrid(full_roi, self.block_shape, anchor),
            total_volume=full_roi.volume,
            batch_size=2 * workers if batch_size is None else batch_size,
            allow_parallel_results=allow_parallel_results,
            operation=spec,
            engine=engine,
            ordered=ordered,
            retries=retries,
            on_error=on_error,
            block_timeout_s=block_timeout_s,
        )


def _default_block(volume: Volume, roi: Roi, spec: Operation, workers: int) -> Shape:
    step = volume.block_shape or default_block_shape(roi.shape, volume.axes)
    sizing = Sizing(
        reads=Reads(roi, (1,) * roi.ndim, spec.halo_per_axis(volume.axes)),
        step=step,
        voxel_bytes=peak_bytes(spec, (1,) * roi.ndim, volume.dtype),
        memory_bytes=default_memory_bytes(workers),
        least_blocks=BLOCKS_PER_WORKER * workers,
    )
    block = sizing.grow(step)
    while _too_large(block, sizing, workers):
        block = halved(tuple(map(min, block, roi.shape)))
    return block


def _too_large(block: Shape, sizing: Sizing, workers: int) -> bool:
    """Test if a storage block is more than a worker can hold, or than its share of the work."""
    voxels = math.prod(map(min, block, sizing.shape))
    if sizing.task_bytes(block) > sizing.memory_bytes and voxels > 1:
        return True
    return block_count(sizing.shape, block) < 2 * workers and voxels > _WORTH_SPLITTING_VOXELS
