"""Blockwise filesets: a volume in many HDF5 files, one a block, as lazyflow lays them out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import MissingBlock, OutputRefused, StorageError
from ...geometry.roi import Roi, Shape
from ..base.checks import check_data, check_out
from .blocks import FilesetBlocks
from .description import FilesetDescription, write_description
from .export import Subset, export_roi, export_subset
from .layout import BlockPaths
from .status import may_be_torn
from .view import BlockPart

WriteStatus = Literal["whole", "all", "none"]


class BlockwiseFileset(FilesetBlocks):
    """A volume of block files, in the coordinates of its view.

    Any number of threads and processes may read and write at once: a block is written by
    one at a time under its lock file, and appears in one step. Between calls no file is open.

    Parameters
    ----------
    description_path : str or path
        The JSON description.
    mode : {"r", "a"}
        Whether it may be written.
    job : str
        Noted in the status of each block that is written; see `verify_block`.
    durability : {"none", "block"}
        ``"block"``: each block file is on the medium before it is marked available.
    copy_description : bool
        Whether a write that makes a block directory puts a copy of the description into it, as
        the original does, for people who look around there.
    lock_timeout_s : float
        How long another writer's lock is waited for.
    allow_pickle : bool
        Whether a fileset of dtype object is opened. Its elements are pickles, as in the original: reading one
        runs what the file says, so allow it for files of people whom you trust. (The original always reads
        them.)

    Raises
    ------
    JobError
        If the description is missing or wrong, or asks for what is not supported.
    """

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], description: FilesetDescription, **options: Any
    ) -> BlockwiseFileset:
        """Write a description file and open the new fileset for writing.

        Parameters
        ----------
        **options
            As for `BlockwiseFileset`, except the mode.

        Raises
        ------
        OutputRefused
            If the description file exists.
        """
        where = os.path.expanduser(os.fspath(path))  # noqa: PTH111
        try:
            Path(where).parent.mkdir(parents=True, exist_ok=True)
            write_description(where, description, overwrite=False)
        except FileExistsError as error:
            raise OutputRefused(f"{where} exists; choose another name or remove it first") from error
        except OSError as error:
            raise StorageError(f"could not write the description {where}: {error}") from error
        return cls(where, "a", **options)

    @property
    def shape(self) -> Shape:
        """Voxels of the view, per axis."""
        return self._blocks.view.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self._description.dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self._description.axes

    @property
    def block_shape(self) -> Shape:
        """Voxels per block file; may exceed the shape."""
        return self._description.block_shape

    @property
    def address(self) -> str:
        """Absolute path of the description file."""
        return self._path

    def read(self, roi: Roi, out: Any = None) -> Any:
        """Read the voxels of `roi`.

        Parameters
        ----------
        roi : Roi
            In voxels of the view.
        out : ndarray or h5py.Dataset of shape ``roi.shape``, optional
            Filled, with numpy's unsafe casting where its dtype differs, and returned.

        Raises
        ------
        OutOfBounds
            If `roi` is empty or leaves the view.
        MissingBlock
            If a block is not available. All are looked at before the first voxel is copied.
        CorruptBlock, LockTimeout, StorageError
            If a block file can't be read, or a power cut has damaged it; what was read before
            stays in `out`.
        """
        roi = self._blocks.checked(roi)
        if out is not None:
            check_out(roi, out)
        wanted = [(part, self._store.naming.paths(part.on_disk)) for part in self._blocks.parts(roi)]
        statuses = [self._status(part, paths) for part, paths in wanted]
        result = np.empty(roi.shape, self.dtype) if out is None else out
        for (part, paths), status in zip(wanted, statuses, strict=True):
            target = result[part.place] if type(result) is np.ndarray and result.flags.writeable else None
            voxels = self._read_part(part, paths, status, target)
            if voxels is not target:
                result[part.place] = voxels.astype(result.dtype, copy=False)
        return result

    def _status(self, part: BlockPart, paths: BlockPaths) -> bytes | None:
        """What casts doubt on a block's file; None if nothing does."""
        status = self._store.status_at(paths)
        if status is None:
            reason = self._store.why_not_available(part.on_disk)
            raise MissingBlock(f"block {list(part.start)} of {self._path} {reason}", part.start)
        return status if may_be_torn(status) else None

    def _read_part(
        self, part: BlockPart, paths: BlockPaths, doubtful_status: bytes | None, target: NDArray | None
    ) -> NDArray[Any]:
        try:
            self._store.check_whole(part.on_disk, doubtful_status)
            return self._store.read(part.on_disk, paths, part.part, target)
        except MissingBlock as error:
            message = f"block {list(part.start)} of {self._path} can't be read: {error}"
            raise MissingBlock(message, part.start) from error

    def write(self, roi: Roi, data: NDArray, *, status: WriteStatus = "whole") -> None:
        """Write voxels; each block that `roi` touches appears in one step, in C order.

        A block that `roi` covers is written anew, of others the rest is kept (0 where nothing was
        written before). Every touched block loses its status first.

        Parameters
        ----------
        roi : Roi
            In voxels of the view.
        data : ndarray of shape ``roi.shape`` and exactly the dtype of the fileset
        status : {"whole", "all", "none"}
            Which of the touched blocks are marked available: those of which `roi` covers all that
            the view shows, every one, or none. A block that is put together from several writes
            is marked at last by `set_block_status`.

        Raises
        ------
        ValueError
            If the shape or the dtype of `data` differs.
        OutOfBounds
            If `roi` is empty or leaves the view.
        LockTimeout, LockLost, CorruptBlock, StorageError
            See `BlockWriter.write`; earlier blocks are written, the failed one is as it was.
        """
        self._check_writable()
        roi = self._blocks.checked(roi)
        check_data(roi, data, self.dtype, self._path)
        if status not in ("whole", "all", "none"):
            raise ValueError(f'status is {status!r}, expected "whole", "all" or "none"')
        for part in self._blocks.parts(roi):
            available = status == "all" or (status == "whole" and part.all_seen)
            self._store.write(part.on_disk, part.part, data[part.place], available=available)

    def export_roi(self, roi: Roi, directory: str | os.PathLike[str], *, absolute: bool = False) -> str:
        """Write the voxels of `roi` into one HDF5 file, laid out and noted as the block files are.

        Parameters
        ----------
        directory : path
            It must exist. The file in it is named like a block file, by the absolute roi; an old one is
            replaced in one step when the new one is whole.
        absolute : bool
            Whether `roi` is in voxels on disk instead of the view.

        Returns
        -------
        str
            Path of the file.

        Raises
        ------
        OutOfBounds, MissingBlock, CorruptBlock, LockTimeout, StorageError
            As for `read`; nothing is left in the directory.
        """
        return export_roi(self, self._in_view(roi, absolute), directory)

    def export_subset(self, roi: Roi, directory: str | os.PathLike[str], *, absolute: bool = False) -> Subset:
        """Copy the available blocks of `roi`, and describe them as a fileset that shows just `roi`.

        The new view starts where `roi` starts; the original's starts where the old view did, so that all
        before `roi` is missing. The blocks always lie below `directory`, and the new description says so,
        also where the old one has an absolute root (the original's goes on naming the old place).
        Locks and unfinished files are not copied. An export that was cut off is completed by another.

        Parameters
        ----------
        roi : Roi
            Whole blocks: its ends are multiples of the block shape, or the end of the view.
        directory : path
            It must exist.
        absolute : bool
            Whether `roi` is in voxels on disk instead of the view.

        Returns
        -------
        Subset
            The new description's path, and which blocks are missing.

        Raises
        ------
        OutOfBounds
            If `roi` leaves the view or cuts through blocks.
        OutputRefused
            If the description in `directory` is another one, or the blocks lie there already.
        StorageError
            If something can't be copied; what was copied is whole.
        """
        return export_subset(self, self._in_view(roi, absolute), directory)

    def _in_view(self, roi: Roi, absolute: bool) -> Roi:
        roi = Roi.of(roi)
        return roi.relative_to(self._description.origin) if absolute else roi

    def close(self) -> None:
        """Nothing is held open; closing is harmless at any time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r}, {self._mode!r})"
