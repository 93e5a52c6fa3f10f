"""Blockwise filesets: a volume in many HDF5 files, one a block, as lazyflow lays them out."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import JobError, OutputRefused, StorageError
from ...files.places import absolute
from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape
from ...geometry.slicing import AnyRoi
from ..base.api import Verdict
from ..base.array_volume import ArrayVolume
from ..base.checks import check_data, check_out
from ..base.info import Meaning
from ..hdf5.volume import Hdf5Volume
from .blocks import Durability, FilesetBlocks, Mode, check_durability, check_mode, open_store
from .description import FilesetDescription, read_description, write_description
from .export import export_roi, export_subset
from .open_file import block_session
from .writer import WriteStatus, check_status, write_block

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _of_blocks(method: Callable[Concatenate[FilesetBlocks, _P], _R]) -> Callable[Concatenate[Any, _P], _R]:
    """A method of the part as a method of the fileset, with its signature and documentation."""

    @functools.wraps(method)
    def passed_on(fileset: BlockwiseFileset, *args: _P.args, **options: _P.kwargs) -> _R:
        return method(fileset.blocks, *args, **options)

    return passed_on


class FilesetRecords:
    """The records of a fileset's blocks; see `RecordedBlocks`, whose methods these are."""

    def __init__(self, blocks: FilesetBlocks) -> None:
        self._blocks = blocks
        self.grid = blocks.view.grid
        self.block_status = blocks.block_status
        self.block_file = blocks.block_file
        self.agrees = blocks.agrees

    @property
    def voxels_tell(self) -> bool:
        """True if the file of a block is not packed."""
        return self._blocks.description.chunks is None and self._blocks.description.compression is None

    def check_block(self, start: Shape) -> tuple[Verdict, int]:
        """Compare the file of a block with its record, again if it was rewritten meanwhile."""
        record = self._blocks.checked_record(start)
        if record is None:
            return "missing", 0
        return ("unchecked", 0) if record.size_bytes is None else ("ok", record.size_bytes)

    def check_unrecorded(self, block: Roi) -> None:
        """Check shape and dtype of a block without checksum, which the original has written."""
        paths = self._blocks.store.paths(self._blocks.view.at(block.start))
        with Hdf5Volume(paths.file, paths.internal) as dataset:
            shape, dtype = dataset.shape, dataset.dtype
        if len(shape) != block.ndim or any(n < m for n, m in zip(shape, block.shape, strict=True)):
            raise StorageError(f"its file holds {list(shape)} voxels, the block is {list(block.shape)}")
        if dtype != (own := self._blocks.description.dtype):
            raise StorageError(f"its file holds {dtype}, the fileset is {own}")

    def is_finished(self, roi: Roi) -> bool:
        """True if each block that `roi` touches was written by the fileset's `job`, and agrees."""
        blocks, job = self._blocks, self._blocks.store.job_hash
        return all(blocks.verify_block(block.start, job=job) is None for block in self.grid.touching(roi))


class BlockwiseFileset(ArrayVolume):
    """A volume of block files, in the coordinates of its view.

    Any number of threads and processes may read and write at once: a block is written by
    one at a time under its lock file, and appears in one step. Between calls no file is open.

    Parameters
    ----------
    description_path : str or path
        The JSON description.
    mode : {"r", "a"}
        For reading, or for reading and writing.
    job : str
        Kept in the status of each block that is written; see `verify_block`.
    durability : {"none", "block"}
        ``"block"``: each block file is on the medium before it is marked available.
    copy_description : bool
        Put a copy of the description into each new block directory, as the original does, for
        people who look around there.
    lock_timeout_s : float
        Longest wait for another writer's lock, in seconds.
    allow_pickle : bool
        Open a fileset of dtype object. Its elements are pickles, as in the original: a read runs the code
        in the file, so allow it only for files of people whom you trust. (The original always reads
        them.)

    Raises
    ------
    JobError
        If the description is missing or wrong, or asks for something that is not supported.

    Attributes
    ----------
    blocks : FilesetBlocks
        The part that knows single blocks, whose methods a fileset has as well.
    store : BlockStore
        The part that knows the files, without a view.
    records : FilesetRecords
        The part that compares blocks with their records.
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
        check_mode(mode)
        check_durability(durability)
        # Absolute from here on: a later change of the working directory changes nothing.
        path = absolute(os.path.expanduser(os.fspath(description_path)))  # noqa: PTH111
        description = self._read_description(path)
        if description.dtype.hasobject and not allow_pickle:
            raise JobError(
                f"{path}: dtype object is not supported: its blocks are pickles, which can run code. If you "
                "trust who wrote them, open it from Python with BlockwiseFileset(..., allow_pickle=True)"
            )
        self.store = open_store(
            path,
            description,
            job=job,
            durability=durability,
            copy_description=copy_description,
            lock_timeout_s=lock_timeout_s,
        )
        self.blocks = FilesetBlocks(path, description, self.store, mode)
        self.records = FilesetRecords(self.blocks)

    def _read_description(self, path: str) -> FilesetDescription:
        """The description in the file; subclasses whose file holds more override it."""
        return read_description(path)

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], description: FilesetDescription, **options: Any
    ) -> BlockwiseFileset:
        """Write a description file and open the new fileset for writing.

        Parameters
        ----------
        path : path
            The description file (``cells.json``); its folder is made if need be.
        description : FilesetDescription
            Shape, dtype, block shape and layout of the fileset.
        **options
            As for `BlockwiseFileset`, except the mode.

        Returns
        -------
        BlockwiseFileset

        Raises
        ------
        OutputRefused
            If the description file exists.
        StorageError
            If it can't be written.
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
    def description(self) -> FilesetDescription:
        """The description as it was read."""
        return self.blocks.description

    @property
    def mode(self) -> Mode:
        """``"r"`` or ``"a"``."""
        return self.blocks.mode

    @property
    def grid(self) -> BlockGrid:
        """The blocks of the view, in its coordinates, clipped to it."""
        return self.blocks.view.grid

    @property
    def shape(self) -> Shape:
        """Voxels of the view, per axis."""
        return self.blocks.view.view.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self.description.dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self.description.axes

    @property
    def meaning(self) -> Meaning:
        """What the voxels mean, as the description has it."""
        return self.description.meaning

    @property
    def block_shape(self) -> Shape:
        """Voxels per block file; may exceed the shape."""
        return self.description.block_shape

    @property
    def address(self) -> str:
        """Absolute path of the description file."""
        return self.blocks.path

    def read(self, roi: AnyRoi = None, out: Any = None) -> Any:
        """Read the voxels of `roi`.

        Parameters
        ----------
        roi : Roi, pair of corners or slicing, optional
            In voxels of the view. Default: all.
        out : ndarray or h5py.Dataset of shape ``roi.shape``, optional
            Filled, with numpy's unsafe casting if its dtype differs.

        Returns
        -------
        ndarray of shape ``roi.shape``
            `out` if it was given, else a new array of the fileset's dtype.

        Raises
        ------
        OutOfBounds
            If `roi` is empty or leaves the view.
        MissingBlock
            If a block is not available. All blocks are checked before the first voxel is copied.
        CorruptBlock, LockTimeout, StorageError
            If a block file can't be read, or a power cut has damaged it. Voxels that were read
            before stay in `out`.
        """
        blocks = self.blocks
        roi = blocks.view.checked(roi)
        if out is not None:
            check_out(roi, out)
        parts = [(part, self.store.naming.paths(part.block)) for part in blocks.view.block_parts(roi)]
        statuses = [blocks.doubtful_status(part, paths) for part, paths in parts]
        result = np.empty(roi.shape, self.dtype) if out is None else out
        for (part, paths), status in zip(parts, statuses, strict=True):
            target = result[part.slices] if type(result) is np.ndarray and result.flags.writeable else None
            voxels = blocks.read_part(part, paths, status, target)
            if voxels is not target:
                result[part.slices] = voxels.astype(result.dtype, copy=False)
        return result

    def write(self, roi: AnyRoi, data: NDArray, *, status: WriteStatus = "whole") -> None:
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
            See `write_block`; earlier blocks are written, the failed one is as it was.
        """
        self.blocks.check_writable()
        roi = self.blocks.view.checked(roi)
        check_data(roi, data, self.dtype, self.address)
        check_status(status)
        for part in self.blocks.view.block_parts(roi):
            available = status == "all" or (status == "whole" and part.covers_block)
            write_block(self.store, part.block, part.roi_in_block, data[part.slices], available=available)

    def export_roi(self, roi: AnyRoi, directory: str | os.PathLike[str], *, absolute: bool = False) -> str:
        """Write the voxels of `roi` into one HDF5 file, with the layout and attributes of a block file.

        Parameters
        ----------
        roi : Roi
            In voxels of the view.
        directory : path
            It must exist. The new file is named like a block file, by the absolute roi. It replaces
            an old one in one step when it is whole.
        absolute : bool
            Read `roi` as voxels on disk instead of voxels of the view.

        Returns
        -------
        str
            Path of the file.

        Raises
        ------
        OutOfBounds, MissingBlock, CorruptBlock, LockTimeout, StorageError
            As for `read`; nothing is left in the directory.
        """
        return export_roi(self.blocks, self.read, roi, directory, absolute=absolute)

    # The methods for single blocks, documented there.
    block_rois = _of_blocks(FilesetBlocks.block_rois)
    block_roi = _of_blocks(FilesetBlocks.block_roi)
    reopen = _of_blocks(FilesetBlocks.reopen)
    block_status = _of_blocks(FilesetBlocks.block_status)
    set_block_status = _of_blocks(FilesetBlocks.set_block_status)
    set_block_statuses = _of_blocks(FilesetBlocks.set_block_statuses)
    block_record = _of_blocks(FilesetBlocks.block_record)
    verify_block = _of_blocks(FilesetBlocks.verify_block)
    is_block_locked = _of_blocks(FilesetBlocks.is_block_locked)
    purge_locks = _of_blocks(FilesetBlocks.purge_locks)
    open_block_file = _of_blocks(FilesetBlocks.open_block_file)
    block_session = _of_blocks(block_session)
    export_subset = _of_blocks(export_subset)
    sweep = _of_blocks(FilesetBlocks.sweep)
    remove_blocks = _of_blocks(FilesetBlocks.remove_blocks)
    dataset_directory = _of_blocks(FilesetBlocks.dataset_directory)
    block_file = _of_blocks(FilesetBlocks.block_file)
    dataset_path = _of_blocks(FilesetBlocks.dataset_path)

    def close(self) -> None:
        """Nothing is held open; closing is harmless at any time."""
