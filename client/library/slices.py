"""Single slices of a source in ascending order, computed ahead of the loop over them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from ...daemon.engine.engine import Engine
from ...daemon.engine.handle import Ended, JobHandle, Notice, Result
from ...shared.errors import JobError
from ...shared.geometry.grid import RoiList
from ...shared.geometry.roi import Roi
from ...shared.lazyflow.signal import OrderedSignal
from ...shared.volumes.sources import Source, as_volume
from .work import AnyOperation, BlockWork, as_operation, end_now, failure_of, tell_percent


class RoiRequestBufferIter:
    """Iterate over the slices of a source, each one voxel thick along some axes and full along the others.

    Slices come in ascending order while later ones are being computed; each loop over it
    computes anew. At most `batch_size` slices are in memory, that of the loop included. (The
    original computed and kept all of them before it gave the first one out.) A loop that is
    left early ends the blocks under way once its iterator is closed or collected.

    Parameters
    ----------
    source : Volume, ndarray, str, path or h5py.Dataset
        As for `RoiRequestBatch`.
    batch_size : int
        Largest number of slices that are computed, wait, or are with the loop at any time. A slice
        that a variable of the loop still holds while the next one is computed is not counted.
    iterate_axes : str
        Letters of axes of the source, the first one varies slowest: ``"tz"``.
    operation, engine, retries, block_timeout_s
        As for `RoiRequestBatch`.

    Attributes
    ----------
    progress_signal : OrderedSignal
        ``callback(percent)`` in the thread of the loop: 0 first, the percentage rounded down after
        each slice, 100 at the end.

    Yields
    ------
    ndarray
        With all axes of the source, those of `iterate_axes` of extent 1. Whoever keeps it keeps
        its memory.

    Raises
    ------
    JobError
        At once, if `iterate_axes` names no axes of the source, or a number is out of bounds.
    RoiRequestBatchError
        Where the loop asks for its next slice, as soon as any slice under way is given up or a
        progress callback raises.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        iterate_axes: str,
        *,
        operation: AnyOperation = None,
        engine: Engine | None = None,
        retries: int = 2,
        block_timeout_s: float | None = None,
    ) -> None:
        self._work = BlockWork(
            source=as_volume(source),
            operation=as_operation(operation),
            engine=engine,
            batch_size=batch_size,
            retries=retries,
            block_timeout_s=block_timeout_s,
        )
        self._axis_indices = _axis_indices(iterate_axes, self._work.source.axes)
        self.progress_signal = OrderedSignal()

    def __len__(self) -> int:
        """Number of slices."""
        return math.prod(self._work.source.shape[axis] for axis in self._axis_indices)

    def rois(self) -> Iterator[Roi]:
        """The slices as rois of the source, in order."""
        shape = self._work.source.shape
        for position in itertools.product(*(range(shape[axis]) for axis in self._axis_indices)):
            start, stop = [0] * len(shape), list(shape)
            for axis, at in zip(self._axis_indices, position, strict=True):
                start[axis], stop[axis] = at, at + 1
            yield Roi(tuple(start), tuple(stop))

    def __iter__(self) -> Iterator[NDArray[Any]]:
        tell_percent(self.progress_signal, 0)
        with self._work.run(RoiList(list(self.rois())), ordered=True) as handle:
            count = 0
            while (result := _next_result(handle)) is not None:
                yield self._work.value_of(result)
                block = result.block
                del result  # before its memory is given to another one
                handle.merged(block)
                count += 1
                tell_percent(self.progress_signal, 100 * count // len(self))
        tell_percent(self.progress_signal, 100)


def _next_result(handle: JobHandle) -> Result | None:
    """The next slice; None after the last one."""
    while True:
        match handle.next():
            case Result() as result:
                return result
            case Notice(kind="failed"):  # a slice that killed its workers too: none may be left out
                raise failure_of(end_now(handle))
            case Ended(outcome="done"):
                return None
            case Ended() as ended:
                raise failure_of(ended)


def _axis_indices(iterate_axes: str, axes: str) -> tuple[int, ...]:
    unknown = [letter for letter in iterate_axes if letter not in axes]
    if unknown or not iterate_axes or len(set(iterate_axes)) != len(iterate_axes):
        raise JobError(f"iterate_axes {iterate_axes!r}: give letters of the axes {axes!r}, each once")
    return tuple(axes.index(letter) for letter in iterate_axes)
