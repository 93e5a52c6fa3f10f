"""Requests over many rois: computed by worker processes, handed to callbacks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from ...daemon.engine.engine import Engine
from ...daemon.engine.handle import Ended, JobHandle, Notice, Result
from ...daemon.scheduling.events import OnError
from ...shared.errors import JobError
from ...shared.geometry.grid import BlockGrid, RoiList
from ...shared.geometry.roi import Roi
from ...shared.geometry.slicing import checked_roi
from ...shared.lazyflow.signal import OrderedSignal
from ...shared.messages import engine as wire
from ...shared.operations.reducer import Reducer, Table
from ...shared.volumes.sources import Source, as_volume
from .work import (
    AnyOperation,
    BlockWork,
    RoiRequestBatchCancelled,
    RoiRequestBatchError,
    as_operation,
    end_now,
    failure_of,
    tell_percent,
)


class RoiRequestBatch:
    """Compute many rois of a source, a bounded number at a time.

    Parameters
    ----------
    source : Volume, ndarray, str, path or h5py.Dataset
        Any volume that has an address, an array in memory (copied once into memory that
        the workers share), an address, or an open dataset, which the workers open for themselves.
    rois : iterable of (start, stop), or BlockGrid
        Drawn one by one while the batch runs, in the thread that calls `execute`; each
        half-open and within the source, in voxels. A slicing such as ``np.s_[0:64, ...]`` will do, too.
    total_volume : int, optional
        Voxels of all rois. Without it, progress is only reported at 0 and 100 %.
    batch_size : int
        Largest number of blocks that are computed or wait for the callback at any time, and so of
        result arrays that exist, if callbacks keep none.
    allow_parallel_results : bool
        Call back from several threads at once; progress stays serial. (The original's
        serial callbacks came in any of its threads, and a slow one kept it from launching.)
    operation : mapping, str or Operation, optional
        As in a job file, for instance ``{"gaussian": {"sigma": 1.5}}``. Default: the voxels
        as they are.
    engine : Engine, optional
        Workers to use. Default: an engine of its own for the time of `execute`.
    ordered : bool
        Call back in the order of `rois`, one at a time, instead of as results arrive.
    retries : int
        Further attempts at a block that failed; none if another one can't help, as with a
        block that is missing.
    on_error : {"fail", "finish"}
        "fail": a block that fails for good ends the batch at once. "finish": all others come
        first, and `execute` raises at the end.
    block_timeout_s : float, optional
        Longest time in seconds for one attempt; then its worker is killed, and the attempt
        has failed.

    Attributes
    ----------
    result_signal : OrderedSignal
        ``callback(roi, array)``: `roi` unpacks to ``start, stop``, `array` has its shape.
        A reference to the array keeps its memory; nothing overwrites it. For an operation that makes a
        table, such as statistics: ``callback(roi, table)``, with that of this roi alone, a dict.
    progress_signal : OrderedSignal
        ``callback(percent)``: 0 first, the percentage rounded down after each result (given
        `total_volume`), 100 at the end.
    table : dict or None
        The table of all rois that were called back so far, for an operation that makes one.

    Raises
    ------
    JobError
        If a number is out of bounds, or operation and source don't fit each other.
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
        ordered: bool = False,
        retries: int = 2,
        on_error: OnError = "fail",
        block_timeout_s: float | None = None,
    ) -> None:
        self._work = BlockWork(
            source=as_volume(source),
            operation=as_operation(operation),
            engine=engine,
            batch_size=batch_size,
            retries=retries,
            on_error=on_error,
            block_timeout_s=block_timeout_s,
        )
        self._rois = rois
        self._total_volume = total_volume
        self._parallel = allow_parallel_results
        self._ordered = ordered
        self._exhausted = False
        self._executing = threading.Lock()
        self._cancelled = threading.Event()
        self._handle: JobHandle | None = None
        self._reducer: Reducer | None = None
        self.result_signal = OrderedSignal()
        self.progress_signal = OrderedSignal()

    def _check_input(self, recipe: wire.InputCheck | None) -> None:
        """Have workers compare stored blocks of the source with what its job recorded; for cluster nodes."""
        self._work = replace(self._work, input_check=recipe)

    @property
    def table(self) -> Table | None:
        """See the class."""
        return None if self._reducer is None else self._reducer.table()

    def execute(self) -> None:
        """Run all requests; returns when the last callback has returned.

        A second call does all again. If `rois` was an iterator, and so is used up, it is
        refused (the original then did nothing, and reported 100 %).

        Raises
        ------
        RoiRequestBatchError
            If a block fails for good or a callback raises (its exception is the cause). Blocks
            under way are ended, and nothing is called back any more by then.
        RoiRequestBatchCancelled
            After `cancel`.
        JobError
            If it runs already, or the rois are used up.
        Exception
            Any error of the iterator of rois, unchanged.
        """
        if not self._executing.acquire(blocking=False):
            raise JobError("this batch is being executed; make another one to run beside it")
        try:
            self._execute()
        finally:
            self._handle = None
            self._executing.release()

    def cancel(self) -> None:
        """End the batch, from any thread or callback; the blocks under way are ended too.

        `execute` then raises `RoiRequestBatchCancelled`, after a callback that runs has
        returned. A batch that was cancelled stays so.
        """
        self._cancelled.set()
        if (handle := self._handle) is not None:
            handle.cancel()

    def _execute(self) -> None:
        rois = self._new_iterator()
        self._reducer = self._work.operation.reducer() if self._work.operation.has_table else None
        tell_percent(self.progress_signal, 0)
        with ExitStack() as stack:
            execution = _Execution(self, rois)
            if self._parallel:
                execution.pool = stack.enter_context(ThreadPoolExecutor(self._work.batch_size))
            self._handle = handle = stack.enter_context(
                self._work.run(
                    self._rois if isinstance(self._rois, BlockGrid) else RoiList(),
                    sealed=rois is None,
                    ordered=self._ordered,
                    parallel_results=self._work.batch_size if self._parallel else 1,
                )
            )
            execution.serve(handle)
        tell_percent(self.progress_signal, 100)

    def _new_iterator(self) -> Iterator[Any] | None:
        """A new iterator over the rois, or None for a grid, which the job takes as it is."""
        if isinstance(self._rois, BlockGrid):
            return None
        if self._exhausted:
            raise JobError("the rois were an iterator, which is used up; give a list to execute twice")
        rois = iter(self._rois)
        self._exhausted = rois is self._rois
        return rois

    def _call_back(self, result: Result) -> None:
        try:
            self.result_signal(result.roi, self._work.value_of(result))
        except Exception as error:
            raise RoiRequestBatchError(f"the callback for {result.roi} raised {error!r}") from error


class _Execution:
    """One execution of a batch: calls back, reports the progress, draws further rois."""

    def __init__(self, batch: RoiRequestBatch, rois: Iterator[Any] | None) -> None:
        self.pool: ThreadPoolExecutor | None = None
        self._batch = batch
        self._rois = rois  # None: there are no more to draw
        self._volume_done = 0
        self._results: SimpleQueue[Result] = SimpleQueue()  # for the threads of the pool

    def serve(self, handle: JobHandle) -> None:
        """Go on until the job has ended."""
        self._draw(handle, self._batch._work.batch_size)
        while not isinstance(item := handle.next(), Ended):
            self._check_cancelled()
            self._process(handle, item)
            del item  # or the array would live until the next one comes
        self._check_end(item)

    def _process(self, handle: JobHandle, item: object) -> None:
        if isinstance(item, Result) and self._batch._reducer is not None:
            self._batch._reducer.add(item.block, item.record)
        match item:
            case Result() as result if self.pool is not None:
                self._results.put(result)
                self.pool.submit(self._call_back_in_pool, handle)
            case Result() as result:
                self._batch._call_back(result)
                handle.put(_Merged(result.block, result.roi))
            case _Merged(block=block, roi=roi):
                handle.merged(block)
                self._volume_done += roi.volume
                if self._batch._total_volume:
                    percent = 100 * self._volume_done // self._batch._total_volume
                    tell_percent(self._batch.progress_signal, percent)
                self._draw(handle, 1)
            case _CallbackFailed(error=error):
                raise error
            case Notice(kind="failed") if self._batch._work.on_error == "fail":
                raise failure_of(end_now(handle))  # also where workers died of it, and others could go on
            case Notice(kind="failed"):
                self._draw(handle, 1)

    def _draw(self, handle: JobHandle, count: int) -> None:
        """Take up to `count` more rois from the iterator, until it is at its end."""
        if self._rois is None:
            return
        rois = [self._checked(roi) for roi in itertools.islice(self._rois, count)]
        if len(rois) < count:
            self._rois = None
        handle.extend(rois, sealed=self._rois is None)

    def _checked(self, value: Any) -> Roi:
        source = self._batch._work.source
        return checked_roi(value, source.shape, f"volume {source.address}")

    def _call_back_in_pool(self, handle: JobHandle) -> None:
        """Call back with one result, in a thread of the pool; the array lives no longer than its callback."""
        result = self._results.get()
        merged = _Merged(result.block, result.roi)
        try:
            self._batch._call_back(result)
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            handle.put(_CallbackFailed(error))
        else:
            del result
            handle.put(merged)

    def _check_cancelled(self) -> None:
        if self._batch._cancelled.is_set():
            raise RoiRequestBatchCancelled

    def _check_end(self, ended: Ended) -> None:
        if ended.outcome == "cancelled":
            self._check_cancelled()
        if ended.outcome != "done":
            raise failure_of(ended)


@dataclass(frozen=True, slots=True)
class _Merged:
    """A callback has returned."""

    block: int
    roi: Roi


@dataclass(frozen=True, slots=True)
class _CallbackFailed:
    """A callback raised in another thread."""

    error: BaseException
