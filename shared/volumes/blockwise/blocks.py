"""The blocks of a fileset, each by its start: status, places, and tidying up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import h5py

from ...errors import JobError, StorageError
from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape, as_shape
from ..hdf5.layout import DatasetLayout
from .description import FilesetDescription, format_description, read_description
from .description_copy import DebugCopy
from .layout import Naming
from .lock_purge import PurgedLock, purge_lock
from .open_file import block_file_to_change, block_file_to_read
from .pickled import PICKLE_DTYPE, PickledBlocks
from .status import StatusRecord
from .surroundings import remove_empty_until
from .view import ViewBlocks
from .writer import BlockWriter

Mode = Literal["r", "a"]
Durability = Literal["none", "block"]


class FilesetBlocks:
    """A fileset as a set of blocks, told by where they start in its view.

    For the parameters see `BlockwiseFileset`, which adds the voxels.
    """

    def __init__(
        self,
        description_path: str | os.PathLike[str],
        mode: Mode = "r",
        *,
        job: str = "",
        durability: Durability = "none",
        copy_description: bool = True,
        lock_timeout_s: float = 10.0,
        allow_pickle: bool = False,
    ) -> None:
        _check_mode(mode)
        if durability not in ("none", "block"):
            raise JobError(f'durability is {durability!r}, expected "none" or "block"')
        # Absolute from here on: a later change of the working directory changes nothing.
        path = os.path.abspath(os.path.expanduser(os.fspath(description_path)))  # noqa: PTH100, PTH111
        description = self._read_description(path)
        if description.dtype.hasobject and not allow_pickle:
            raise JobError(
                f"{path}: dtype object is not supported: its blocks are pickles, which can run code. If you "
                "trust who wrote them, open it from Python with BlockwiseFileset(..., allow_pickle=True)"
            )
        self._path = path
        self._mode: Mode = mode
        self._description = description
        self._blocks = ViewBlocks.of(description, path)
        kind = PickledBlocks if description.dtype.hasobject else BlockWriter
        self._store = kind(
            naming=Naming(_root(path, description), description.axes, description.block_file_name_format),
            layout=_layout(description),
            job=job,
            sync=durability == "block",
            lock_timeout_s=lock_timeout_s,
            note=DebugCopy(os.path.basename(path), format_description(description.with_view_filled_in())),
            puts_note=copy_description,
        )

    def _read_description(self, path: str) -> FilesetDescription:
        """The description in the file; for filesets whose file holds more than that."""
        return read_description(path)

    @property
    def description(self) -> FilesetDescription:
        """The description as it was read."""
        return self._description

    @property
    def mode(self) -> Mode:
        """``"r"`` or ``"a"``."""
        return self._mode

    @property
    def grid(self) -> BlockGrid:
        """The blocks of the view, in its coordinates, clipped to it."""
        return self._blocks.grid

    def block_rois(self) -> Iterator[Roi]:
        """All blocks of the view, in C order, clipped to it."""
        return iter(self._blocks.grid)

    def block_roi(self, start: Shape) -> Roi:
        """The voxels of the block that starts at `start` in the view, clipped to the view."""
        self._blocks.at(start)
        stops = zip(as_shape(start), self._blocks.grid.block_shape, self._blocks.view.stop, strict=True)
        return Roi(as_shape(start), tuple(min(a + n, end) for a, n, end in stops))

    def reopen(self, mode: Mode) -> None:
        """Go on in another mode; nothing needs to be closed before (the original refuses that).

        Raises
        ------
        JobError
            If `mode` is none.
        """
        _check_mode(mode)
        self._mode = mode

    def _check_writable(self) -> None:
        if self._mode != "a":
            raise StorageError(f"{self._path} is open for reading only; open it with mode 'a' to change it")

    def block_status(self, start: Shape) -> bool:
        """Whether the block that starts at `start` (in the view) is marked available."""
        return self._store.available(self._blocks.at(start))

    def set_block_status(self, start: Shape, available: bool) -> None:
        """Mark one block available, or not; see `BlockWriter.mark` for the errors."""
        self._check_writable()
        self._store.mark(self._blocks.at(start), available)

    def set_block_statuses(self, roi: Roi, available: bool) -> None:
        """Mark every block that shares a voxel with `roi`."""
        self._check_writable()
        for block in self._blocks.touching(roi):
            self._store.mark(block, available)

    def block_record(self, start: Shape) -> StatusRecord | None:
        """The status record of a block, without facts if lazyflow wrote it; None: not available."""
        return self._store.record(self._blocks.at(start))

    def verify_block(self, start: Shape, job: str | None = None) -> str | None:
        """None if a block is available and its file agrees with its record, else the reason.

        Parameters
        ----------
        job : str, optional
            Also ask that this job wrote it.
        """
        return self._store.verify(self._blocks.at(start), job)

    def is_block_locked(self, start: Shape) -> bool:
        """Whether a lock file lies beside the file of a block."""
        return self._store.locked(self._blocks.at(start))

    def purge_locks(self, roi: Roi | None = None, *, foreign: bool = True) -> list[PurgedLock]:
        """Remove locks of the blocks that `roi` touches (default: all) which nobody will release.

        The lock of a living process of ours on this host always stays (the original removes every
        lock, and so lets two writers into one block). Whether lazyflow, another host or another
        container still lives can't be seen from here: make sure of that before.

        Parameters
        ----------
        foreign : bool
            Whether their locks, and those of nobody knows whom, are removed too.

        Returns
        -------
        list of PurgedLock
            Every lock that was found: which block, whose, and whether it was removed.
        """
        self._check_writable()
        found: list[PurgedLock] = []
        for block in self._blocks.touching(roi or self._blocks.view):
            start = tuple(a - o for a, o in zip(block.start, self._blocks.origin, strict=True))
            lock = purge_lock(start, self._store.paths(block), foreign=foreign)
            if lock is not None:
                found.append(lock)
        return found

    def open_block_file(self, start: Shape, *, writable: bool = False) -> AbstractContextManager[h5py.File]:
        """The HDF5 file of a block, to keep more in it than voxels; use it in a ``with`` statement.

        The original hands out the handle that it reads and writes by itself. Here `writable` opens a copy,
        under the block's lock, which takes the place of the file in one step when the statement ends
        without an error; an available block stays so, with the checksum of its new file.

        Raises
        ------
        MissingBlock
            If there is no file.
        StorageError
            If it can't be opened or changed, or the fileset is open for reading only.
        """
        block, start = self._blocks.at(start), as_shape(start)
        if not writable:
            return block_file_to_read(self._store, block, start)
        self._check_writable()
        return block_file_to_change(self._store, block, start)

    def sweep(self, roi: Roi | None = None) -> int:
        """Remove what dead writers of this host left of the blocks that `roi` touches (default: all).

        Returns
        -------
        int
            Number of partial files and stale locks that were removed.
        """
        self._check_writable()
        return sum(self._store.sweep(block) for block in self._blocks.touching(roi or self._blocks.view))

    def remove_blocks(self, roi: Roi | None = None) -> None:
        """Remove the blocks that `roi` touches (default: all), and nothing that is not theirs.

        The directory of all blocks goes too, if that leaves it empty.

        Raises
        ------
        LockTimeout
            If another holds the lock of a block; earlier blocks are gone.
        """
        self._check_writable()
        for block in self._blocks.touching(roi or self._blocks.view):
            self._store.remove(block)
        root = Path(self._store.naming.root)
        remove_empty_until(root, root.parent if root != Path(self._path).parent else root)

    def dataset_directory(self, start: Shape) -> str:
        """The directory of a block."""
        return self._store.naming.directory(self._blocks.at(start).start)

    def block_file(self, start: Shape) -> str:
        """The file of a block, beside which its lock lies."""
        return self._store.paths(self._blocks.at(start)).file

    def dataset_path(self, start: Shape) -> str:
        """File of a block and path of the dataset in it: ``.../b-([0], [5]).h5/volume/data``."""
        paths = self._store.paths(self._blocks.at(start))
        return f"{paths.file}/{paths.internal}"


def _check_mode(mode: str) -> None:
    if mode not in ("r", "a"):
        raise JobError(f'mode is {mode!r}, expected "r" to read or "a" to read and write')


def _root(path: str, description: FilesetDescription) -> str:
    inside = os.path.expanduser(description.dataset_root_dir)  # noqa: PTH111
    return os.path.normpath(os.path.join(os.path.dirname(path), inside))


def _layout(description: FilesetDescription) -> DatasetLayout:
    return DatasetLayout(
        dtype=PICKLE_DTYPE if description.dtype.hasobject else description.dtype,
        axes=description.axes,
        chunks=description.chunks,
        compression=description.compression,
        compression_opts=description.compression_opts,
        drange=description.drange,
    )
