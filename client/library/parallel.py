"""A volume whose reads and writes are shared out among worker processes."""

from __future__ import annotations

import itertools
import math
import os
import threading
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...daemon.engine.engine import Engine
from ...daemon.engine.handle import Ended, JobHandle, block_error
from ...daemon.engine.job import JobSpec
from ...shared import errors
from ...shared.errors import BlockmillError, MissingBlock, StorageError
from ...shared.files.places import absolute
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi, Shape
from ...shared.geometry.slicing import AnyRoi, checked_roi
from ...shared.memory.arena import SharedBuffer
from ...shared.messages import engine as wire
from ...shared.volumes.base.api import RecordedVolume, Volume
from ...shared.volumes.base.array_volume import ArrayVolume
from ...shared.volumes.base.checks import check_data, check_out
from ...shared.volumes.blockwise.writer import WriteStatus
from ...shared.volumes.registry import format_of, open_volume, split_input
from ...shared.volumes.sources import address_of

_TASKS_PER_WORKER = 8
_LEAST_TASK_BYTES = 1 << 20
_LOCAL_BYTES = 1 << 20
"""Less than this is read and written in this process: the way to a worker would cost more."""
_STAGE_BYTES = 32 << 20
_STAGES = 2
_CANCEL_S = 3.0


class ParallelVolume(ArrayVolume):
    """The volume at an address, read and written by several processes at once.

    It obeys the `Volume` protocol. The workers start with it and stay until it is closed, so
    only the first read waits for them.

    Parameters
    ----------
    address : str, path or h5py.Dataset
        As for `open_volume`. A fileset (``x.json``) can be written, too.
    workers : int
        Worker processes of its own.
    engine : Engine, optional
        Use the workers of this one instead; it is not closed with the volume.

    Raises
    ------
    JobError, StorageError
        As `open_volume`.

    Notes
    -----
    Memory decides about speed. Into an array that `target` gave, workers read straight to the
    final place; nothing is copied twice and no page is touched for the first time. Any other
    array is filled through a small buffer that is used again and again.
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | h5py.Dataset,
        workers: int = 2,
        *,
        engine: Engine | None = None,
    ) -> None:
        where = address_of(address)
        self._volume: Volume = open_volume(where)
        self._place = split_input(absolute(os.path.expanduser(where)))  # noqa: PTH111
        self._writer: Any = None
        self._path = absolute(os.path.expanduser(where))  # noqa: PTH111
        self._engine = engine or Engine(workers)
        self._owns_engine = engine is None
        self._volume_id = uuid.uuid4().hex
        self._targets: list[SharedBuffer] = []
        self._stages: list[SharedBuffer] = []
        self._staging = threading.Lock()

    @property
    def shape(self) -> Shape:
        """Voxels per axis."""
        return self._volume.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self._volume.dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self._volume.axes

    @property
    def block_shape(self) -> Shape | None:
        """Voxels per storage block."""
        return self._volume.block_shape

    @property
    def address(self) -> str:
        """Address as the caller wrote it."""
        return self._volume.address

    def target(self, shape: Shape | None = None, dtype: DTypeLike | None = None) -> NDArray[Any]:
        """Make an array in memory that workers share, to be passed as ``out`` again and again.

        Parameters
        ----------
        shape : tuple of int, optional
            Default: that of the volume.
        dtype : optional
            Default: that of the volume.

        Returns
        -------
        ndarray
            Zeros, in C order; any view of it can be a destination of `read` and a source of `write`.
            The memory is allocated now, and is released once nothing refers to it any more.
        """
        shape = self.shape if shape is None else tuple(shape)
        dtype = np.dtype(self.dtype if dtype is None else dtype)
        buffer = self._engine.lend(max(math.prod(shape) * dtype.itemsize, 1))
        array = buffer.array(shape, dtype)
        buffer.release()
        self._targets = [target for target in self._targets if target.alive] + [buffer]
        return array

    def read(self, roi: AnyRoi = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read the voxels of `roi`.

        Parameters
        ----------
        roi : Roi, pair or slicing, optional
            ``(start, stop)``, half-open, in voxels. Default: all.
        out : ndarray of shape ``roi.shape``, optional
            Filled, with numpy's unsafe casting if its dtype differs.

        Returns
        -------
        ndarray of shape ``roi.shape``
            `out` if it was given, else a new array.

        Raises
        ------
        OutOfBounds, MissingBlock, CorruptBlock, LockTimeout, StorageError
            As the volume at the address raises them; `out` may be partly filled then.
        BlockError
            If workers died over a block again and again.
        """
        roi = checked_roi(roi, self.shape, self.address)
        if out is not None:
            check_out(roi, out)
        if self._small(roi):
            return self._volume.read(roi, out)
        target = self._view_of(out) if out is not None else None
        if out is not None and target is not None:
            self._carry(roi, *target)
            return out
        result = np.empty(roi.shape, self.dtype) if out is None else out
        self._through_stages(roi, result)
        return result

    def write(self, roi: AnyRoi, data: NDArray[Any], *, status: WriteStatus = "whole") -> None:
        """Write `data` into a fileset, see `BlockwiseFileset.write`. Each block file has one writer.

        Parameters
        ----------
        roi : Roi or pair
            ``(start, stop)``, half-open, in voxels.
        data : ndarray of shape ``roi.shape``
            Of the volume's dtype.
        status : str
            As for `BlockwiseFileset.write`: which blocks are marked available.

        Raises
        ------
        ValueError
            If the shape or the dtype of `data` differs.
        StorageError
            If the volume is not a fileset: one file can't have several writers.
        OutOfBounds, LockTimeout, LockLost, CorruptBlock, BlockError
            See `BlockwiseFileset.write`; other blocks may have been written.
        """
        roi = checked_roi(roi, self.shape, self.address)
        if format_of(self._place).writers != "workers":
            raise StorageError(
                f"{self.address} is one file, which several processes can't write; open it by its own "
                "class, or let a job write it"
            )
        check_data(roi, data, self.dtype, self.address)
        if self._small(roi):
            self._write_here(roi, data, status)
        elif (source := self._view_of(data)) is not None:
            self._carry(roi, *source, status)
        else:
            self._through_stages(roi, data, status)

    def _write_here(self, roi: Roi, data: NDArray[Any], status: WriteStatus) -> None:
        if self._writer is None:
            self._writer = format_of(self._place).open_to_write(self._place)
        if isinstance(self._writer, RecordedVolume):
            self._writer.write(roi, data, status=status)
        else:
            self._writer.write(roi, data)

    # -- how it is shared out -----------------------------------------------------------

    def _step(self, roi: Roi) -> Shape:
        """The roi shape that one process should carry as a whole."""
        return self.block_shape or (1, *roi.shape[1:])

    def _step_bytes(self, roi: Roi) -> int:
        return math.prod(map(min, self._step(roi), roi.shape)) * self.dtype.itemsize

    def _small(self, roi: Roi) -> bool:
        return roi.volume * self.dtype.itemsize < _LOCAL_BYTES or len(self._grid(roi, 1)) == 1

    def _grid(self, roi: Roi, steps: int) -> BlockGrid:
        """`roi` in blocks of up to `steps` whole storage blocks, longest along the last axes."""
        step = self._step(roi)
        anchor = tuple(a // n * n for a, n in zip(roi.start, step, strict=True))
        counts = BlockGrid(roi, step, anchor).counts
        group: list[int] = []
        for count in reversed(counts):
            group.append(max(min(count, steps), 1))
            steps //= group[-1]
        return BlockGrid(roi, tuple(n * g for n, g in zip(step, reversed(group), strict=True)), anchor)

    def _tasks(self, roi: Roi) -> BlockGrid:
        """The tasks of the workers: a few blocks for each, none of them tiny."""
        steps = len(self._grid(roi, 1)) // (_TASKS_PER_WORKER * self._engine.workers)
        return self._grid(roi, max(steps, _LEAST_TASK_BYTES // self._step_bytes(roi), 1))

    def _view_of(self, array: NDArray[Any]) -> tuple[wire.ArrayView, SharedBuffer] | None:
        for buffer in self._targets:
            if (view := buffer.view_of(array)) is not None:
                return view, buffer
        return None

    # -- carrying -----------------------------------------------------------------------

    def _carry(
        self, roi: Roi, view: wire.ArrayView, buffer: SharedBuffer, status: WriteStatus | None = None
    ) -> None:
        handle = self._start(roi, view, buffer, status)
        try:
            self._wait(handle)
        finally:
            _abandon(handle)

    def _start(
        self, roi: Roi, view: wire.ArrayView, buffer: SharedBuffer, status: WriteStatus | None
    ) -> JobHandle:
        transfer = wire.Transfer(view=view, origin=roi.start, write=status, volume_id=self._volume_id)
        recipe = wire.Recipe(sources=(wire.Source(self._path),), transfer=transfer)
        return self._engine.submit(
            JobSpec(recipe=recipe, blocks=self._tasks(roi), shared_buffers=(buffer.map_segment,))
        )

    def _wait(self, handle: JobHandle) -> None:
        while not isinstance(ended := handle.next(), Ended):
            pass
        if ended.outcome != "done":
            raise self._error(ended)

    def _error(self, ended: Ended) -> BlockmillError:
        """The error of the first block that failed, of the class that it had in the worker."""
        if not ended.failures or (kind := ended.error_kinds.get(ended.failures[0][0])) is None:
            return block_error(ended)
        _, roi, reason = ended.failures[0]
        if kind == MissingBlock.__name__:
            return MissingBlock(reason, self._missing_in(roi))
        return getattr(errors, kind, StorageError)(reason)

    def _missing_in(self, roi: Roi) -> Shape:
        volume = self._volume
        if not isinstance(volume, RecordedVolume):
            return ()
        records = volume.records
        starts = (block.start for block in records.grid.touching(roi))
        return next((start for start in starts if not records.block_status(start)), ())

    def _through_stages(self, roi: Roi, array: NDArray[Any], status: WriteStatus | None = None) -> None:
        """Carry `roi` piece by piece through buffers, one of them filled while another is emptied."""
        under_way: deque[_Piece] = deque()
        with self._staging:
            rois = self._piece_rois(roi)
            stages = itertools.cycle(self._grown_stages(rois))
            try:
                for piece_roi, stage in zip(rois, stages, strict=False):
                    if len(under_way) == _STAGES:
                        self._end(under_way.popleft())
                    view = array[piece_roi.relative_to(roi.start).to_slice()]
                    under_way.append(self._begin(piece_roi, stage, view, status))
                while under_way:
                    self._end(under_way.popleft())
            finally:
                for piece in under_way:
                    _abandon(piece.handle)

    def _piece_rois(self, roi: Roi) -> list[Roi]:
        return list(self._grid(roi, max(_STAGE_BYTES // self._step_bytes(roi), 1)))

    def _grown_stages(self, rois: list[Roi]) -> list[SharedBuffer]:
        """Two buffers, each large enough for any of the rois."""
        needed = max(roi.volume for roi in rois) * self.dtype.itemsize
        if not self._stages or self._stages[0].nbytes < needed:
            self._release_stages()
            size = min(-(-needed // _LEAST_TASK_BYTES) * _LEAST_TASK_BYTES, max(needed, _STAGE_BYTES))
            self._stages = [self._engine.lend(size) for _ in range(_STAGES)]
        return self._stages

    def _release_stages(self) -> None:
        for stage in self._stages:
            stage.release()
        self._stages = []

    def _begin(self, roi: Roi, stage: SharedBuffer, view: NDArray[Any], status: WriteStatus | None) -> _Piece:
        buffer = stage.array(roi.shape, self.dtype)
        if status is not None:
            buffer[...] = view
        stage_view = stage.view_of(buffer)
        assert stage_view is not None, "a buffer lies in its own memory"
        return _Piece(self._start(roi, stage_view, stage, status), view if status is None else None, buffer)

    def _end(self, piece: _Piece) -> None:
        try:
            self._wait(piece.handle)
        finally:
            _abandon(piece.handle)
        if piece.target is not None:
            np.copyto(piece.target, piece.buffer, casting="unsafe")

    # -- the end --------------------------------------------------------------------

    def close(self) -> None:
        """End the workers and close the volume; targets stay as they are."""
        self._release_stages()
        if self._owns_engine:
            self._engine.close()
        for volume in (self._volume, self._writer):
            if volume is not None:
                volume.close()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece that workers carry between storage and a buffer; a read fills `target` from that at the end."""

    handle: JobHandle
    target: NDArray[Any] | None
    buffer: NDArray[Any]


def _abandon(handle: JobHandle) -> None:
    """Cancel a job that has not ended, and wait until it has."""
    if handle.ended is None:
        handle.cancel()
        handle.drain(_CANCEL_S)
