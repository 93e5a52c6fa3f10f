"""Requests over many rois: computed by worker processes, handed to callbacks serially.

`RoiRequestBatch` takes any rois, `BigRequestStreamer` cuts one large roi into blocks. Both
keep a bounded number of blocks under way and call back in the thread that calls `execute`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..daemon.engine import Engine
from ..daemon.handle import Ended, JobHandle, Result, block_error
from ..daemon.plan import BLOCKS_PER_WORKER, Sizing, default_block_shape, default_memory_bytes
from ..daemon.work import Order, RoiList
from ..shared import wire
from ..shared.arena import share_array
from ..shared.errors import BlockError, JobError
from ..shared.grid import BlockGrid
from ..shared.operations import Operation, parse_operation, peak_bytes
from ..shared.roi import Roi, as_shape
from ..shared.signal import OrderedSignal
from ..shared.volumes.address import open_volume
from ..shared.volumes.memory import MemoryVolume, default_axes
from ..shared.volumes.protocol import Volume

Source = Volume | NDArray[Any] | str
AnyOperation = Operation | Mapping[str, Any] | str | None

_CANCEL_S = 3.0


class RoiRequestBatchError(BlockError):
    """A block or a callback failed, and the batch ended; ``__cause__`` tells more."""


class RoiRequestBatch:
    """Compute many rois of a source, a bounded number at a time.

    Parameters
    ----------
    source : Volume, ndarray or str
        Any volume that has an address, an array in memory (copied once into memory that
        the workers share), or an address.
    rois : iterable of (start, stop), or BlockGrid
        Drawn one by one while the batch runs, in the thread that calls `execute`; each
        within the source. Consumed once.
    total_volume : int, optional
        Voxels of all rois. Without it, progress is only told at 0 and 100 %.
    batch_size : int
        Most blocks that are computed or wait for the callback at any time.
    allow_parallel_results : bool
        Call back from several threads at once; progress stays serial.
    operation : mapping, str or Operation, optional
        As in a job file, for instance ``{"gaussian": {"sigma": 1.5}}``. Default: the voxels
        as they are.
    engine : Engine, optional
        Workers to use. Default: an engine of its own for the time of `execute`.

    Attributes
    ----------
    result_signal : OrderedSignal
        ``callback(roi, array)``: `roi` unpacks to ``start, stop``, `array` has its shape.
        Whoever keeps the array keeps its memory; nothing overwrites it.
    progress_signal : OrderedSignal
        ``callback(percent)``: 0 first, the floor of the part done after each result (given
        `total_volume`), 100 at the end.
    """

    def __init__(
        self,
        source: Source,
        rois: Iterable[Any] | BlockGrid,
        total_volume: int | None = None,
        batch_size: int = 2,
        allow_parallel_results: bool = False,
        *,
        operation: AnyOperation = None,
        engine: Engine | None = None,
    ) -> None:
        if batch_size < 1:
            raise JobError(f"batch_size {batch_size}: at least one block must be under way")
        self._source = as_volume(source)
        self._operation = _as_operation(operation)
        self._operation.check(len(self._source.shape), self._source.dtype)
        self._rois = rois if isinstance(rois, BlockGrid) else iter(rois)
        self._total_volume = total_volume
        self._batch_size = batch_size
        self._parallel = allow_parallel_results
        self._engine = engine
        self._volume_done = 0
        self.result_signal = OrderedSignal()
        self.progress_signal = OrderedSignal()

    def execute(self) -> None:
        """Run all requests; returns when the last callback has returned.

        Raises
        ------
        RoiRequestBatchError
            If a block fails for good or a callback raises (its exception is the cause).
            Nothing is called back any more by then.
        Exception
            Whatever the iterator of rois raises, as it is.
        """
        self.progress_signal(0)
        with ExitStack() as stack:
            source = self._shared_source(stack)
            engine = self._engine or stack.enter_context(self._own_engine())
            pool = stack.enter_context(ThreadPoolExecutor(self._batch_size)) if self._parallel else None
            handle = engine.submit(self._order(source))
            try:
                self._serve(handle, pool)
            except BaseException:
                handle.cancel()
                handle.drain(_CANCEL_S)
                raise
        self.progress_signal(100)

    def _own_engine(self) -> Engine:
        return Engine(workers_for(self._batch_size), preload=self._operation.preload)

    def _shared_source(self, stack: ExitStack) -> str | wire.SharedArray:
        if not isinstance(self._source, MemoryVolume):
            return self._source.address
        segment, shared = share_array(self._source.array, self._source.axes)
        stack.callback(segment.close)
        return shared

    def _order(self, source: str | wire.SharedArray) -> Order:
        whole = isinstance(self._rois, BlockGrid)
        return Order(
            recipe=wire.Recipe(source=source, operation=self._operation.to_plain()),
            blocks=self._rois if isinstance(self._rois, BlockGrid) else RoiList(),
            merge_dtype=self._operation.output_dtype(self._source.dtype),
            max_open=self._batch_size,
            parallel_merges=self._batch_size if self._parallel else 1,
            sealed=whole,
        )

    # -- serving --------------------------------------------------------------------

    def _serve(self, handle: JobHandle, pool: ThreadPoolExecutor | None) -> None:
        """Call back for results and draw further rois until the job has ended."""
        drawing = not isinstance(self._rois, BlockGrid) and self._draw(handle, self._batch_size)
        while True:
            match handle.next():
                case Result() as result if pool is not None:
                    pool.submit(self._call_back_elsewhere, handle, result)
                    del result  # the pool's alone: it lets go of the array when the callback is done
                case Result() as result:
                    self._call_back(result)
                    handle.merged(result.block)
                    roi = result.roi
                    del result  # or the array would live until the next one comes
                    drawing = self._go_on(handle, roi, drawing)
                case _Merged(roi=roi):
                    drawing = self._go_on(handle, roi, drawing)
                case _CallbackFailed(error=error):
                    raise error
                case Ended() as ended:
                    self._check_end(ended)
                    return
                case _:
                    pass  # a notice: a retry shows in the end, or not at all

    def _go_on(self, handle: JobHandle, roi: Roi, drawing: bool) -> bool:
        """Tell the progress after a callback, and draw the next roi; whether there may be more."""
        self._tell_progress(roi)
        return drawing and self._draw(handle, 1)

    def _draw(self, handle: JobHandle, count: int) -> bool:
        """Take up to `count` more rois from the iterator; False when it is at its end."""
        assert not isinstance(self._rois, BlockGrid)
        rois = [self._checked(roi) for roi in itertools.islice(self._rois, count)]
        more = len(rois) == count
        handle.extend(rois, sealed=not more)
        return more

    def _checked(self, value: Any) -> Roi:
        roi = Roi.of(value)
        roi.check_within(self._source.shape, f"volume {self._source.address}")
        return roi

    def _call_back(self, result: Result) -> None:
        try:
            self.result_signal(result.roi, result.array)
        except Exception as error:
            raise RoiRequestBatchError(f"the callback for {result.roi} raised {error!r}") from error

    def _call_back_elsewhere(self, handle: JobHandle, result: Result) -> None:
        try:
            self._call_back(result)
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            handle.put(_CallbackFailed(error))
        else:
            handle.put(_Merged(result.roi))  # first, so that it comes before the end of the job
            handle.merged(result.block)

    def _tell_progress(self, roi: Roi) -> None:
        self._volume_done += roi.volume
        if self._total_volume:
            percent = 100 * self._volume_done // self._total_volume
            try:
                self.progress_signal(percent)
            except Exception as error:
                raise RoiRequestBatchError(f"a progress callback raised {error!r}") from error

    def _check_end(self, ended: Ended) -> None:
        if ended.outcome != "done":
            cause = block_error(ended)
            raise RoiRequestBatchError(str(cause)) from cause


@dataclass(frozen=True, slots=True)
class _Merged:
    """A callback has returned."""

    roi: Roi


@dataclass(frozen=True, slots=True)
class _CallbackFailed:
    """A callback raised in another thread."""

    error: BaseException


class BigRequestStreamer(RoiRequestBatch):
    """Compute one large roi block by block, and hand each block to `result_signal`.

    Parameters
    ----------
    source, allow_parallel_results, operation, engine
        As for `RoiRequestBatch`.
    roi : (start, stop)
        Within the source.
    block_shape : tuple of int, optional
        Default: whole storage blocks of the source, grown while that saves reading and
        fits the memory, with at least a few blocks for each worker.
    batch_size : int, optional
        Default: two for each worker, so that none waits for a callback.
    block_alignment : {"absolute", "relative"}
        Whether the grid of blocks starts at the origin of the source or at ``roi[0]``.
    """

    def __init__(
        self,
        source: Source,
        roi: Any,
        block_shape: Iterable[int] | None = None,
        batch_size: int | None = None,
        block_alignment: str = "absolute",
        allow_parallel_results: bool = False,
        *,
        operation: AnyOperation = None,
        engine: Engine | None = None,
    ) -> None:
        if block_alignment not in ("absolute", "relative"):
            raise JobError(f'block_alignment {block_alignment!r}: it is "absolute" or "relative"')
        volume, spec = as_volume(source), _as_operation(operation)
        whole = Roi.of(roi)
        whole.check_within(volume.shape, f"volume {volume.address}")
        workers = engine.workers if engine is not None else workers_for(None)
        shape = as_shape(block_shape) if block_shape is not None else _automatic(volume, whole, spec, workers)
        anchor = whole.start if block_alignment == "relative" else (0,) * whole.ndim
        super().__init__(
            volume,
            BlockGrid(whole, shape, anchor),
            total_volume=whole.volume,
            batch_size=batch_size or 2 * workers,
            allow_parallel_results=allow_parallel_results,
            operation=spec,
            engine=engine,
        )


def _automatic(volume: Volume, roi: Roi, spec: Operation, workers: int) -> tuple[int, ...]:
    step = volume.block_shape or default_block_shape(roi.shape, volume.axes)
    sizing = Sizing(
        shape=roi.shape,
        step=step,
        halo=spec.halo(roi.ndim),
        voxel_bytes=peak_bytes(spec, (1,) * roi.ndim, volume.dtype),
        memory_bytes=default_memory_bytes(workers),
        least_blocks=BLOCKS_PER_WORKER * workers,
    )
    return sizing.chosen(step)


def workers_for(batch_size: int | None) -> int:
    """As many workers as processors, but no more than blocks under way."""
    processors = len(os.sched_getaffinity(0))
    return processors if batch_size is None else min(processors, batch_size)


def as_volume(source: Source) -> Volume:
    """The volume behind whatever a caller may name as a source."""
    if isinstance(source, np.ndarray):
        return MemoryVolume(source, axes=default_axes(source.ndim))
    if isinstance(source, str):
        return open_volume(source)
    if isinstance(source, Volume):
        return source
    raise JobError(f"a {type(source).__name__} is no source; give a volume, a numpy array, or an address")


def _as_operation(operation: AnyOperation) -> Operation:
    return parse_operation("copy" if operation is None else operation)
