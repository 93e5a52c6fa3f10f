"""One block held open: its HDF5 file, to keep more in it than voxels, or its voxels, for many writes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptBlock, MissingBlock, OutOfBounds, StorageError
from ...files.atomic import partial_name, removed_on_error, sync_directory, sync_file
from ...files.refusals import storage_errors
from ...geometry.roi import Roi, Shape, as_shape
from ...geometry.slicing import AnyRoi
from ..base.checks import check_data
from ..hdf5.opening import open_to_read
from .block_file import read_bytes, updated_image, voxels_in_image
from .fast.image import ReadyImage, TemplateImage
from .status import checksum_of_file
from .store import BlockStore
from .surroundings import swap_in
from .writer import (
    WriteStatus,
    check_status,
    locked_to_write,
    put_image,
    put_status,
    remove_if_empty,
    whole_image,
)

if TYPE_CHECKING:
    from .blocks import FilesetBlocks


@contextlib.contextmanager
def block_file_to_read(store: BlockStore, block: Roi, start: Shape) -> Iterator[h5py.File]:
    """Open the file of a block for reading; a writer of the block does not disturb.

    Parameters
    ----------
    store : BlockStore
    block : Roi
        In absolute voxels.
    start : tuple of int
        First corner in the view, for messages.

    Yields
    ------
    h5py.File
    """
    paths = store.paths(block)
    _check_there(paths.file, start)
    with storage_errors("open", paths.file), open_to_read(paths.file) as file:
        yield file


@contextlib.contextmanager
def block_file_to_change(store: BlockStore, block: Roi, start: Shape) -> Iterator[h5py.File]:
    """Open a copy of the file of a block under the block's lock; it replaces the file in one step at the end.

    If the caller raises, nothing has changed. A block that was available is available again, with the
    facts of the new file.

    Parameters
    ----------
    store : BlockStore
    block : Roi
        In absolute voxels.
    start : tuple of int
        First corner in the view, for messages.

    Yields
    ------
    h5py.File
    """
    _check_there(store.paths(block).file, start)
    with storage_errors("change", store.paths(block).file), locked_to_write(store, block) as (paths, lock):
        _check_there(paths.file, start)
        status = store.status(block)
        store.check_whole(block, status)
        partial = partial_name(paths.file)
        with removed_on_error(partial):
            shutil.copyfile(paths.file, partial)
            with h5py.File(partial, "r+") as file:
                yield file
            if store.sync:
                sync_file(partial)
            size_bytes, checksum = checksum_of_file(partial)
            swap_in(partial, paths, lock)
        if store.sync:
            sync_directory(os.path.dirname(paths.file))
        if status is not None:
            put_status(store, paths, size_bytes, checksum, lock)


def _check_there(file: str, start: Shape) -> None:
    if not Path(file).exists():
        raise MissingBlock(f"block {list(start)} has no file {file}; write the block first", start)


def block_session(blocks: FilesetBlocks, start: Shape, *, status: WriteStatus = "whole") -> BlockSession:
    """Hold a block for many small writes: its file is written once, when the ``with`` statement ends.

    Until then the block is in memory, other writers of it wait, and readers see the old block. If the
    statement ends by an error, or the process dies, nothing has changed.

    Parameters
    ----------
    start : tuple of int
        First corner of the block, in voxels of the view.
    status : {"whole", "all", "none"}
        Mark the block available at the end: if all that the view shows of it was written, or it was available
        before; in any case; or never.

    Returns
    -------
    BlockSession
        For a ``with`` statement: ``with fileset.block_session(start) as block: block.write(roi, voxels)``.

    Raises
    ------
    OutOfBounds
        If no block starts there.
    StorageError
        If the fileset is open for reading only.
    """
    blocks.check_writable()
    check_status(status)
    return BlockSession(blocks, start, status)


class BlockSession:
    """One block of a fileset, in memory between the beginning and the end of a ``with`` statement.

    Parameters
    ----------
    blocks : FilesetBlocks
    start, status
        As for `block_session`.

    Attributes
    ----------
    roi : Roi
        The voxels of the block, in the view.
    """

    def __init__(self, blocks: FilesetBlocks, start: Shape, status: WriteStatus) -> None:
        self.roi = blocks.block_roi(start)
        self._blocks, self._status, self._start = blocks, status, as_shape(start)
        self._block = blocks.view.at(start)
        self._held = contextlib.ExitStack()
        self._voxels: NDArray | None = None
        self._written: Roi | None = None

    def __enter__(self) -> Self:
        if self._voxels is not None:
            raise StorageError(f"block {list(self._start)} is in this session already; make another one")
        store = self._blocks.store
        with storage_errors("write", store.naming.paths(self._block).file), contextlib.ExitStack() as held:
            self._paths, self._lock = held.enter_context(locked_to_write(store, self._block))
            status = store.status(self._block)
            store.check_whole(self._block, status)
            self._was_available = status is not None
            self._old = read_bytes(self._paths.file)
            self._voxels = self._loaded(self._old)
            self._covered = None if self._was_available else np.zeros(self.roi.shape, bool)
            self._held = held.pop_all()
        return self

    def _loaded(self, old: bytes | None) -> NDArray:
        """The voxels of the block as it is."""
        store, shape = self._blocks.store, self._block.shape
        dtype = self._blocks.description.dtype
        if old is None:
            return np.full(shape, None) if dtype.hasobject else np.zeros(shape, dtype)
        try:
            voxels = voxels_in_image(old, store.layout, self._paths.internal, shape)
        except CorruptBlock as error:
            raise CorruptBlock(store.corrupt(self._paths, str(error))) from error
        return voxels if store.codec is None else store.codec.decode(voxels)

    def write(self, roi: AnyRoi, data: NDArray) -> None:
        """Write voxels of the block, in memory.

        Parameters
        ----------
        roi : Roi, pair of corners or slicing
            In voxels of the view, within the block.
        data : ndarray of shape ``roi.shape`` and exactly the dtype of the fileset

        Raises
        ------
        OutOfBounds
            If `roi` is empty or leaves the block.
        ValueError
            If the shape or the dtype of `data` differs.
        StorageError
            Outside of the ``with`` statement.
        """
        roi, voxels = self._checked(roi)
        check_data(roi, data, self._blocks.description.dtype, self._blocks.path)
        slices = roi.relative_to(self._start).to_slice()
        voxels[slices] = data
        if self._covered is not None:
            self._covered[slices] = True
        self._written = roi if self._written is None else _around(self._written, roi)

    def read(self, roi: AnyRoi = None) -> NDArray:
        """Read voxels of the block as they are by now; 0 where nothing was written.

        Parameters
        ----------
        roi : Roi, pair of corners or slicing, optional
            In voxels of the view, within the block. Default: all of the block.

        Returns
        -------
        ndarray of shape ``roi.shape``
            A copy.
        """
        roi, voxels = self._checked(self.roi if roi is None else roi)
        return voxels[roi.relative_to(self._start).to_slice()].copy()

    def _checked(self, roi: AnyRoi) -> tuple[Roi, NDArray]:
        if self._voxels is None:
            raise StorageError(
                f"the session of block {list(self._start)} is not open; use it within its with statement"
            )
        checked = self._blocks.view.checked(roi)
        if not self.roi.contains(checked):
            raise OutOfBounds(f"roi {checked} leaves the block {self.roi} of this session")
        return checked, self._voxels

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        voxels, self._voxels = self._voxels, None
        store, put = self._blocks.store, False
        try:
            if kind is None and voxels is not None and self._written is not None:
                with storage_errors("write", self._paths.file):
                    image = self._image(voxels, self._written)
                    put_image(store, self._paths, self._lock, image, self._is_available())
                put = True
        finally:
            self._held.close()
            self._old = self._covered = self._written = None
            if not put:
                remove_if_empty(store, self._paths)

    def _is_available(self) -> bool:
        whole = self._covered is None or bool(self._covered.all())
        return self._status == "all" or (self._status == "whole" and whole)

    def _image(self, voxels: NDArray, written: Roi) -> ReadyImage | TemplateImage:
        """The new content of the file; what else the old one has is kept."""
        store = self._blocks.store
        encode = store.codec.encode if store.codec is not None else (lambda data: data)
        if self._old is None:
            return whole_image(store, self._paths.internal, encode(voxels))
        # Whole chunks of gzip are packed outside HDF5, in a fraction of the time.
        whole = store.layout.compression == "gzip"
        roi = Roi.from_shape(self._block.shape) if whole else written.relative_to(self._start)
        data = encode(voxels[roi.to_slice()])
        return ReadyImage(
            updated_image(self._old, store.layout, self._paths.internal, self._block.shape, roi, data)
        )


def _around(one: Roi, other: Roi) -> Roi:
    """The smallest box around both."""
    return Roi.trusted(tuple(map(min, one.start, other.start)), tuple(map(max, one.stop, other.stop)))
