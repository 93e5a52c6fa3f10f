"""The HDF5 file of a block, open for users who keep more in it than voxels."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py

from ...errors import MissingBlock
from ...files.atomic import partial_name, removed_on_error, sync_directory, sync_file
from ...files.refusals import storage_errors
from ...geometry.roi import Roi, Shape
from ..hdf5.opening import open_to_read
from .status import checksum_of_file
from .store import BlockStore
from .surroundings import swap_in
from .writer import locked_to_write, put_status


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
