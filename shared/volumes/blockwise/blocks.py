"""The blocks of a fileset, each named by its start in the view: status, paths, and tidying up."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import h5py
from numpy.typing import NDArray

from ...errors import JobError, MissingBlock, StorageError
from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape, as_shape
from ..hdf5.layout import DatasetLayout
from .description import FilesetDescription, format_description
from .description_copy import DescriptionCopy
from .layout import BlockPaths, Naming
from .open_file import block_file_to_change, block_file_to_read
from .pickled import PICKLE_DTYPE, PickleCodec
from .status import StatusRecord, may_be_torn
from .store import BlockStore
from .surroundings import PurgedLock, purge_lock, remove_empty_until, starts_there
from .view import BlockPart, ViewBlocks
from .writer import mark_block, remove_block, sweep_block

Mode = Literal["r", "a"]
Durability = Literal["none", "block"]


class FilesetBlocks:
    """The part of a fileset that knows its blocks by their first corner in the view.

    Parameters
    ----------
    path : str
        Absolute path of the description file.
    description : FilesetDescription
    store : BlockStore
        The block files.
    mode : {"r", "a"}

    Attributes
    ----------
    path, description, store, mode
        As given; the mode changes with `reopen`.
    view : ViewBlocks
        The blocks that the view shows.
    """

    def __init__(self, path: str, description: FilesetDescription, store: BlockStore, mode: Mode) -> None:
        self.path, self.description, self.store = path, description, store
        self.view = ViewBlocks.of(description, path)
        self.reopen(mode)

    @property
    def grid(self) -> BlockGrid:
        """The blocks of the view, in its coordinates, clipped to it."""
        return self.view.grid

    def block_rois(self) -> Iterator[Roi]:
        """All blocks of the view, in C order, clipped to it."""
        return iter(self.view.grid)

    def block_roi(self, start: Shape) -> Roi:
        """The voxels of the block that starts at `start` in the view, clipped to the view."""
        self.view.at(start)
        stops = zip(as_shape(start), self.view.grid.block_shape, self.view.view.stop, strict=True)
        return Roi(as_shape(start), tuple(min(a + n, end) for a, n, end in stops))

    def reopen(self, mode: Mode) -> None:
        """Go on in another mode; nothing needs to be closed before (the original refuses that).

        Raises
        ------
        JobError
            If `mode` is neither "r" nor "a".
        """
        check_mode(mode)
        self.mode: Mode = mode

    def check_writable(self) -> None:
        """Refuse to change a fileset that is open for reading."""
        if self.mode != "a":
            raise StorageError(f"{self.path} is open for reading only; open it with mode 'a' to change it")

    def block_status(self, start: Shape) -> bool:
        """Test if the block that starts at `start` (in the view) is marked available."""
        return self.store.available(self.view.at(start))

    def set_block_status(self, start: Shape, available: bool) -> None:
        """Mark one block available, or not.

        Parameters
        ----------
        start : tuple of int
            First corner of the block, in voxels of the view.
        available : bool
            The new status.

        Raises
        ------
        StorageError
            If the fileset is open for reading only, or a block without a file is to be available.
        CorruptBlock
            If the block is available already and was damaged by a power cut.
        LockTimeout
            If another process holds its lock; nothing was changed.
        """
        self.check_writable()
        mark_block(self.store, self.view.at(start), available)

    def set_block_statuses(self, roi: Roi, available: bool) -> None:
        """Mark every block that shares a voxel with `roi` available, or not.

        Parameters
        ----------
        roi : Roi
            In voxels of the view.
        available : bool
            The new status.

        Raises
        ------
        StorageError, CorruptBlock, LockTimeout
            As for `set_block_status`; blocks before the one that failed are marked.
        """
        self.check_writable()
        for block in self.view.touching(roi):
            mark_block(self.store, block, available)

    def block_record(self, start: Shape) -> StatusRecord | None:
        """Status record of a block, or None if it is not available. Records of lazyflow hold no facts."""
        return self.store.record(self.view.at(start))

    def verify_block(self, start: Shape, job: str | None = None) -> str | None:
        """Check that a block is available and that its file agrees with its record.

        Parameters
        ----------
        start : tuple of int
            First corner of the block, in voxels of the view.
        job : str, optional
            Identity of a job (16 hex digits) that must have written the block.

        Returns
        -------
        str or None
            The first disagreement, or None if there is none.
        """
        return self.store.verify(self.view.at(start), job)

    def checked_record(self, start: Shape) -> StatusRecord | None:
        """As `BlockStore.checked_record`, for the block that starts at `start` in the view."""
        return self.store.checked_record(self.view.at(start))

    def agrees(self, start: Shape, voxels: NDArray) -> bool:
        """As `BlockStore.agrees`, for the block that starts at `start`, a corner in the grid of the view."""
        return self.store.agrees(self.view.on_disk(start), voxels)

    def is_block_locked(self, start: Shape) -> bool:
        """Test if a lock file lies beside the file of a block."""
        return self.store.locked(self.view.at(start))

    def purge_locks(self, roi: Roi | None = None, *, foreign: bool = True) -> list[PurgedLock]:
        """Remove locks of blocks which nobody will release.

        The lock of a living process of ours on this host always stays (the original removes every
        lock, and so lets two writers into one block). Owners of lazyflow, on another host or in another
        container can't be checked from here: make sure that they have ended before.

        Parameters
        ----------
        roi : Roi, optional
            The blocks that share a voxel with it, in voxels of the view. Default: all.
        foreign : bool
            Also remove the locks of owners that can't be checked.

        Returns
        -------
        list of PurgedLock
            Every lock: its block, its owner, and True if it was removed.
        """
        self.check_writable()
        locks: list[PurgedLock] = []
        for block in self._there(roi):
            lock = purge_lock(self.view.start_of(block), self.store.paths(block), foreign=foreign)
            if lock is not None:
                locks.append(lock)
        return locks

    def open_block_file(self, start: Shape, *, writable: bool = False) -> AbstractContextManager[h5py.File]:
        """Open the HDF5 file of a block in a ``with`` statement, to keep more in it than voxels.

        The original hands out the handle that it uses itself. With `writable`, a copy is opened
        under the block's lock. The copy replaces the file in one step when the statement ends without
        an error; an available block stays available, with the checksum of its new file.

        Parameters
        ----------
        start : tuple of int
            First corner of the block, in voxels of the view.
        writable : bool
            Open a copy that replaces the file, instead of the file for reading.

        Returns
        -------
        context manager of h5py.File

        Raises
        ------
        MissingBlock
            If there is no file.
        StorageError
            If it can't be opened or changed, or the fileset is open for reading only.
        """
        block, start = self.view.at(start), as_shape(start)
        if not writable:
            return block_file_to_read(self.store, block, start)
        self.check_writable()
        return block_file_to_change(self.store, block, start)

    def sweep(self, roi: Roi | None = None) -> int:
        """Remove what dead writers of this host left of the blocks that `roi` touches (default: all).

        Returns
        -------
        int
            Number of partial files and stale locks that were removed.
        """
        self.check_writable()
        return sum(sweep_block(self.store, block) for block in self._there(roi))

    def _there(self, roi: Roi | None) -> Iterator[Roi]:
        """The blocks on disk that have a directory and touch `roi` (default: all of the view), in C order."""
        roi = self.view.view if roi is None else self.view.checked(roi)
        for start in starts_there(self.store.naming, functools.partial(self.view.block_may_start, roi)):
            yield self.view.on_disk(tuple(n - o for n, o in zip(start, self.view.origin, strict=True)))

    def remove_blocks(self, roi: Roi | None = None, *, check: Callable[[], None] | None = None) -> None:
        """Remove the blocks that `roi` touches (default: all), and no other files.

        The directory of all blocks goes too, if that leaves it empty.

        Parameters
        ----------
        roi : Roi, optional
            In voxels of the view.
        check : callable, optional
            Called before each block; what it raises ends the removal.

        Raises
        ------
        LockTimeout
            If another holds the lock of a block; earlier blocks are gone.
        """
        self.check_writable()
        for block in self._there(roi):
            if check is not None:
                check()
            remove_block(self.store, block)
        root = Path(self.store.naming.root)
        remove_empty_until(root, root.parent if root != Path(self.path).parent else root)

    def doubtful_status(self, block_part: BlockPart, paths: BlockPaths) -> bytes | None:
        """Read the status of a block, if a power cut may have damaged its file.

        Parameters
        ----------
        block_part : BlockPart
            The block, with the part of it that is read.
        paths : BlockPaths
            The paths of the block.

        Returns
        -------
        bytes or None
            Content of the status file if the file must be checked first, or None if there is no doubt.

        Raises
        ------
        MissingBlock
            If it is not available.
        """
        status = self.store.status_at(paths)
        if status is None:
            reason = self.store.why_not_available(block_part.block)
            raise MissingBlock(f"block {list(block_part.start)} of {self.path} {reason}", block_part.start)
        return status if may_be_torn(status) else None

    def read_part(
        self, block_part: BlockPart, paths: BlockPaths, doubtful_status: bytes | None, target: NDArray | None
    ) -> NDArray[Any]:
        """Read the part of a block that lies in a roi.

        Parameters
        ----------
        block_part : BlockPart
        paths : BlockPaths
            The paths of the block.
        doubtful_status : bytes or None
            As `doubtful_status` returned it.
        target : ndarray, optional
            As for `BlockStore.read`.

        Returns
        -------
        ndarray of shape ``block_part.roi_in_block.shape``

        Raises
        ------
        MissingBlock, CorruptBlock, LockTimeout, StorageError
            As `BlockStore.read` and `BlockStore.check_whole`.
        """
        try:
            self.store.check_whole(block_part.block, doubtful_status)
            return self.store.read(block_part.block, paths, block_part.roi_in_block, target)
        except MissingBlock as error:
            message = f"block {list(block_part.start)} of {self.path} can't be read: {error}"
            raise MissingBlock(message, block_part.start) from error

    def dataset_directory(self, start: Shape) -> str:
        """The directory of a block."""
        return self.store.naming.directory(self.view.at(start).start)

    def block_file(self, start: Shape) -> str:
        """The file of a block, beside which its lock lies."""
        return self.store.paths(self.view.at(start)).file

    def dataset_path(self, start: Shape) -> str:
        """File of a block and path of the dataset in it: ``.../b-([0], [5]).h5/volume/data``."""
        paths = self.store.paths(self.view.at(start))
        return f"{paths.file}/{paths.internal}"


def check_mode(mode: str) -> None:
    """Refuse an unknown mode."""
    if mode not in ("r", "a"):
        raise JobError(f'mode is {mode!r}, expected "r" to read or "a" to read and write')


def check_durability(durability: str) -> None:
    """Refuse an unknown durability."""
    if durability not in ("none", "block"):
        raise JobError(f'durability is {durability!r}, expected "none" or "block"')


def open_store(
    path: str,
    description: FilesetDescription,
    *,
    job: str,
    durability: Durability,
    copy_description: bool,
    lock_timeout_s: float,
) -> BlockStore:
    """The store of the blocks of a description.

    Parameters
    ----------
    path : str
        Absolute path of the description file.
    description : FilesetDescription
    job, durability, copy_description, lock_timeout_s
        As for `BlockwiseFileset`.

    Returns
    -------
    BlockStore
    """
    inside = os.path.expanduser(description.dataset_root_dir)  # noqa: PTH111
    root = os.path.normpath(os.path.join(os.path.dirname(path), inside))
    return BlockStore(
        naming=Naming(root, description.axes, description.block_file_name_format),
        layout=_layout(description),
        job_hash=job,
        sync=durability == "block",
        lock_timeout_s=lock_timeout_s,
        description_copy=DescriptionCopy(
            os.path.basename(path), format_description(description.with_view_filled_in())
        ),
        copy_description=copy_description,
        codec=PickleCodec() if description.dtype.hasobject else None,
    )


def _layout(description: FilesetDescription) -> DatasetLayout:
    return DatasetLayout(
        dtype=PICKLE_DTYPE if description.dtype.hasobject else description.dtype,
        axes=description.axes,
        chunks=description.chunks,
        compression=description.compression,
        compression_opts=description.compression_opts,
        drange=description.drange,
    )
