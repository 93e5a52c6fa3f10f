"""The common base of all requests: a source, an operation, workers, and the job made of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ...daemon.engine.engine import Engine
from ...daemon.engine.handle import Ended, JobHandle, Result, block_error
from ...daemon.engine.job import JobSpec
from ...daemon.scheduling.events import OnError
from ...shared.errors import BlockError, JobError
from ...shared.geometry.grid import BlockGrid, RoiList
from ...shared.geometry.roi import Roi
from ...shared.jobs.code_files import code_files
from ...shared.lazyflow.signal import OrderedSignal
from ...shared.memory.arena import share_array
from ...shared.messages import engine as wire
from ...shared.operations.base import UNNAMED, Operation
from ...shared.operations.registry import parse_operation
from ...shared.volumes.base.api import Volume
from ...shared.volumes.base.memory import MemoryVolume

AnyOperation = Operation | Mapping[str, Any] | str | None

_CANCEL_S = 3.0


class RoiRequestBatchError(BlockError):
    """A block or a callback failed, and the batch ended; ``__cause__`` tells more.

    Parameters
    ----------
    message : str, optional
    failures : tuple of (Roi, str)
        The attribute `failures`.

    Attributes
    ----------
    failures : tuple of (Roi, str)
        Roi and reason of each block that failed for good; empty if a callback failed.
    """

    def __init__(self, message: str | None = None, failures: tuple[tuple[Roi, str], ...] = ()) -> None:
        super().__init__(message)
        self.failures = failures

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.failures)


class RoiRequestBatchCancelled(RoiRequestBatchError):
    """The batch was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockWork:
    """The settings of a request: a source, an operation, and how its blocks are computed.

    Attributes
    ----------
    source : Volume
    operation : Operation
    engine : Engine or None
        Workers to use; None: an engine for the time of each run.
    batch_size : int
        Largest number of blocks that are computed or wait for their callback at any time.
    retries : int
        Further attempts at a block that failed; none if another one can't help.
    on_error : {"fail", "finish"}
        A block that fails for good ends the work, or the rest goes on.
    block_timeout_s : float or None
        Longest time for one attempt at a block, in seconds.
    input_check : InputCheck or None
        What workers compare stored blocks of the source with; None: they compare nothing.

    Raises
    ------
    JobError
        If a number is out of bounds, or the operation doesn't fit the source.
    """

    source: Volume
    operation: Operation
    engine: Engine | None = None
    batch_size: int = 2
    retries: int = 2
    on_error: OnError = "fail"
    block_timeout_s: float | None = None
    input_check: wire.InputCheck | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise JobError(f"batch_size {self.batch_size}: at least one block must be under way")
        if self.retries < 0:
            raise JobError(f"retries {self.retries}: give 0 or more")
        if self.on_error not in ("fail", "finish"):
            raise JobError(f'on_error {self.on_error!r}: it is "fail" or "finish"')
        if self.block_timeout_s is not None and not self.block_timeout_s > 0:
            raise JobError(f"block_timeout_s {self.block_timeout_s}: give more than 0, or None")
        self.operation.check_inputs(self.source.axes, {UNNAMED: self.source.dtype})
        self.operation.check_keeps_shape(self.source.axes, "a request for a roi")

    @contextmanager
    def run(
        self,
        blocks: BlockGrid | RoiList,
        *,
        sealed: bool = True,
        ordered: bool = False,
        parallel_results: int = 1,
    ) -> Iterator[JobHandle]:
        """Submit the blocks. An error in the context ends the job and its blocks.

        Parameters
        ----------
        blocks : BlockGrid or RoiList
            In voxels of the source.
        sealed : bool
            False if blocks will be appended to the RoiList.
        ordered : bool
            Deliver results in the order of block numbers.
        parallel_results : int
            Largest number of results that are with the caller at any time.

        Yields
        ------
        JobHandle
        """
        with ExitStack() as stack:
            source, has_table = self._shared_source(stack), self.operation.has_table
            engine = self.engine or stack.enter_context(self._own_engine())
            handle = engine.submit(
                JobSpec(
                    recipe=wire.Recipe(
                        sources=(wire.Source(source, check=self.input_check),),
                        axes=self.source.axes,
                        operation=self.operation.to_plain(),
                        code_files=_code_files(self.operation),
                    ),
                    blocks=blocks,
                    merge_dtype=None if has_table else self.operation.output_dtype(self.source.dtype),
                    merge_records=has_table,
                    max_open=self.batch_size,
                    parallel_merges=parallel_results,
                    retries=self.retries,
                    on_error=self.on_error,
                    ordered=ordered,
                    sealed=sealed,
                    block_timeout_s=self.block_timeout_s,
                )
            )
            try:
                yield handle
            except BaseException:
                end_now(handle)
                raise

    def value_of(self, result: Result) -> Any:
        """What a block has come to: its voxels, or its table where the operation makes one."""
        if not self.operation.has_table:
            return result.array
        reducer = self.operation.reducer()
        reducer.add(result.block, result.record)
        return reducer.table()

    def _own_engine(self) -> Engine:
        return Engine(workers_for(self.batch_size), preload=self.operation.preloads)

    def _shared_source(self, stack: ExitStack) -> str | wire.SharedArray:
        if not isinstance(self.source, MemoryVolume):
            return self.source.address
        segment, shared = share_array(self.source.array, self.source.axes)
        stack.callback(segment.close)
        return shared


def _code_files(operation: Operation) -> dict[str, str]:
    """The user's own modules, so that workers of an engine that has run before import changed ones anew."""
    functions = operation.user_functions
    return {path: found for function in functions for path, found in code_files(function, None).own.items()}


def end_now(handle: JobHandle) -> Ended:
    """Cancel a job and wait until its running blocks have been ended."""
    handle.cancel()
    return handle.drain(_CANCEL_S) or Ended("cancelled", cause="the engine did not end the job in time")


def failure_of(ended: Ended) -> RoiRequestBatchError:
    """The error of a failed job, for the caller of the request."""
    cause = block_error(
        Ended(ended.outcome, ended.failures, "" if ended.failures else ended.cause, ended.error)
    )
    error = RoiRequestBatchError(str(cause), tuple((roi, reason) for _, roi, reason in ended.failures))
    error.__cause__ = cause
    return error


def tell_percent(signal: OrderedSignal, percent: int) -> None:
    """Call the callbacks of a progress signal.

    Parameters
    ----------
    signal : OrderedSignal
    percent : int
        0 to 100.

    Raises
    ------
    RoiRequestBatchError
        If a callback raises.
    """
    try:
        signal(percent)
    except Exception as error:
        raise RoiRequestBatchError(f"a progress callback raised {error!r}") from error


def workers_for(batch_size: int | None) -> int:
    """Number of workers: one a processor, but no more than blocks at a time."""
    processors = len(os.sched_getaffinity(0))
    return processors if batch_size is None else min(processors, batch_size)


def as_operation(operation: AnyOperation) -> Operation:
    """Return the operation for any form that a caller may pass; None copies the voxels."""
    return parse_operation("copy" if operation is None else operation)
