"""Changes of single blocks in a store: each is written, marked and removed under its lock.

The order of a write is what makes it safe at any moment of a crash::

    make the directory -> lock -> clear away what dead writers left -> write a partial file
    -> (sync) -> still our lock? -> drop the status -> rename over the block -> new status and unlock

Until the rename, the old block and its status are whole; from the rename to the new status,
the block counts as missing. The file of the lock becomes that of the status: the new text is
put behind that of the lock, then it is renamed. To make and to remove one file more for each
block would cost a tenth of the time, and more and more of it where a file system (ext4) is slow
to use again what was removed only just now.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from numpy.typing import NDArray

from ...errors import CorruptBlock, StorageError
from ...files.atomic import (
    partial_name,
    remove_if_there,
    removed_on_error,
    sync_directory,
    sync_file,
    write_atomically,
    write_new,
)
from ...files.machine import boot_id
from ...files.refusals import storage_errors
from ...geometry.roi import Roi
from ...locking.filelock import FileLock
from ..hdf5.layout import new_image
from .block_file import read_bytes, updated_image
from .fast.contiguous import template_of_new
from .fast.image import ReadyImage, TemplateImage, packed_image
from .fast.packed import image_and_template
from .layout import BlockPaths
from .status import StatusRecord, checksum_of_file, checksum_text, format_status
from .store import BlockStore
from .surroundings import leftovers, make_directories, remove_empty_until, remove_leftovers, swap_in

_DIRECTORY_ATTEMPTS = 20
WriteStatus = Literal["whole", "all", "none"]


def check_status(status: str) -> None:
    """Refuse an unknown choice of which blocks a write marks available."""
    if status not in ("whole", "all", "none"):
        raise ValueError(f'status is {status!r}, expected "whole", "all" or "none"')


def write_block(store: BlockStore, block: Roi, roi_in_block: Roi, data: NDArray, *, available: bool) -> None:
    """Write `data` to a part of a block. If the part is the whole block, the file is written anew.

    Parameters
    ----------
    store : BlockStore
    block : Roi
        In absolute voxels.
    roi_in_block : Roi
        Relative to the block.
    data : ndarray of shape ``roi_in_block.shape``
    available : bool
        Mark the block available afterwards.

    Raises
    ------
    LockTimeout
        If another holds the block's lock; nothing was changed.
    ValueError
        If an object can't be pickled; nothing was changed.
    LockLost
        If the lock file was taken from us meanwhile; the old block is still there.
    CorruptBlock
        If the rest of the block can't be kept because the old file can't be read, or was
        damaged by a power cut.
    StorageError
        If the system refuses (a full disk); the old block and its status are still there.
    """
    if store.codec is not None:
        data = store.codec.encode(data)
    with (
        storage_errors("write", store.naming.paths(block).file),
        locked_to_write(store, block) as (paths, lock),
    ):
        if roi_in_block.shape != block.shape:
            store.check_whole(block, store.status(block))
        _put(store, paths, lock, block, roi_in_block, data, available)


def fill_block(store: BlockStore, block: Roi, make: Callable[[], NDArray]) -> bool:
    """Write a block that is not there whole, and mark it available.

    `make` runs under the block's lock, after another look at the block, so that only one of
    several callers fills it. If `make` raises, nothing is changed.

    Parameters
    ----------
    store : BlockStore
    block : Roi
        In absolute voxels.
    make : callable
        Returns the voxels, an array of shape ``block.shape``.

    Returns
    -------
    bool
        False if another had filled it.

    Raises
    ------
    LockTimeout, LockLost, StorageError
        See `write_block`.
    """
    try:
        with (
            storage_errors("write", store.naming.paths(block).file),
            locked_to_write(store, block) as (paths, lock),
        ):
            if store.sound(block):
                return False
            _put(store, paths, lock, block, Roi.from_shape(block.shape), make(), True)
            return True
    except BaseException:
        remove_if_empty(store, store.naming.paths(block))
        raise


def _put(
    store: BlockStore,
    paths: BlockPaths,
    lock: FileLock,
    block: Roi,
    roi_in_block: Roi,
    data: NDArray,
    available: bool,
) -> None:
    """Write a block whose lock is held."""
    put_image(store, paths, lock, _image(store, paths, block, roi_in_block, data), available)


def put_image(
    store: BlockStore, paths: BlockPaths, lock: FileLock, image: ReadyImage | TemplateImage, available: bool
) -> None:
    """Put a new file in the place of a block.

    Parameters
    ----------
    store : BlockStore
    paths : BlockPaths
        Of the block.
    lock : FileLock
        The block's lock, held.
    image : ReadyImage or TemplateImage
        The content of the file.
    available : bool
        Mark the block available; then the lock is released.
    """
    partial = partial_name(paths.file)
    with removed_on_error(partial):
        write_new(partial, image, sync=store.sync)
        swap_in(partial, paths, lock)
    if store.sync:
        sync_directory(os.path.dirname(paths.file))
    if available:
        put_status(store, paths, image.size_bytes, checksum_text(image.checksum), lock)


def _image(
    store: BlockStore, paths: BlockPaths, block: Roi, roi_in_block: Roi, data: NDArray
) -> ReadyImage | TemplateImage:
    if roi_in_block.shape == block.shape:
        return whole_image(store, paths.internal, data)
    old = read_bytes(paths.file)
    if old is None:
        return ReadyImage(new_image(store.layout, paths.internal, block.shape, roi_in_block, data))
    try:
        return ReadyImage(updated_image(old, store.layout, paths.internal, block.shape, roi_in_block, data))
    except CorruptBlock as error:
        raise CorruptBlock(store.corrupt(paths, str(error))) from error


def whole_image(store: BlockStore, internal: str, data: NDArray) -> ReadyImage | TemplateImage:
    """The content of a new file with all voxels of a block, made from a template if there is one.

    Parameters
    ----------
    store : BlockStore
    internal : str
        Path of the dataset.
    data : ndarray
        All voxels of the block, in the form in which the store keeps them.

    Returns
    -------
    ReadyImage or TemplateImage
    """
    if store.codec is not None:  # where the strings lie in the file is HDF5's business
        return ReadyImage(new_image(store.layout, internal, data.shape, Roi.from_shape(data.shape), data))
    template = template_of_new(store.layout, internal, data.shape)
    if template is not None:
        store.templates.add(internal, data.shape, template)
        return TemplateImage(template, data)
    chunk_template = store.templates.for_writing(internal, data.shape)
    image = None if chunk_template is None else packed_image(chunk_template, data)
    if image is not None:
        return image
    content, chunk_template = image_and_template(store.layout, internal, data)
    if chunk_template is not None:
        store.templates.add_for_writing(internal, data.shape, chunk_template)
    return ReadyImage(content)


def put_status(
    store: BlockStore, paths: BlockPaths, size_bytes: int, checksum: str, lock: FileLock | None = None
) -> None:
    """Write the status of a block. With its lock, the lock's file becomes the status in the same step.

    Parameters
    ----------
    store : BlockStore
    paths : BlockPaths
        Of the block.
    size_bytes : int
        Of the block file.
    checksum : str
        Of the block file, as in `StatusRecord`.
    lock : FileLock, optional
        The block's lock, held.
    """
    content = format_status(StatusRecord(size_bytes, checksum, store.job_hash, boot_id(), store.sync))
    if lock is None or not lock.release_as(paths.status, content):
        write_atomically(paths.status, content)


@contextlib.contextmanager
def locked_to_write(store: BlockStore, block: Roi) -> Iterator[tuple[BlockPaths, FileLock]]:
    """Make the block's directory if need be, take its lock, and remove dead writers' files.

    Parameters
    ----------
    store : BlockStore
    block : Roi
        In absolute voxels.

    Yields
    ------
    BlockPaths, FileLock
    """
    created, paths, lock = _lock_in_directory(store, block)
    try:
        if not created:
            remove_leftovers(paths)
        elif store.copy_description:
            store.description_copy.put(paths.directory)
        yield paths, lock
    finally:
        if lock.locked():  # else its file has become the status
            lock.release()


def _lock_in_directory(store: BlockStore, block: Roi) -> tuple[bool, BlockPaths, FileLock]:
    """Make the directory of a block and take its lock. The first result is True if the directory is new."""
    for _ in range(_DIRECTORY_ATTEMPTS):
        created = make_directories(store.naming.paths(block))
        paths = store.naming.paths(block) if created else store.paths(block)
        lock = FileLock(paths.file, timeout_s=store.lock_timeout_s)
        try:
            lock.acquire()
        except StorageError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise  # else a sweep took the empty directory away: make it again
        else:
            return created, paths, lock
    raise StorageError(f"the directory of {store.naming.paths(block).file} vanishes as often as it is made")


def mark_block(store: BlockStore, block: Roi, available: bool) -> None:
    """Mark a block available, with the facts of its file as it is now, or not available.

    Parameters
    ----------
    store : BlockStore
    block : Roi
        In absolute voxels.
    available : bool
        The new status.

    Raises
    ------
    StorageError
        If a block without a file is to be marked available.
    CorruptBlock
        If the block is available already and was damaged by a power cut.
    LockTimeout
        If another holds its lock; nothing was changed.
    """
    paths = store.paths(block)
    if available and not Path(paths.file).exists():
        raise StorageError(f"{paths.file} does not exist; write the block before marking it available")
    if not Path(os.path.dirname(paths.file)).exists():
        return
    with storage_errors("mark", paths.file), FileLock(paths.file, timeout_s=store.lock_timeout_s):
        if not available:
            remove_if_there(paths.status)
            return
        store.check_whole(block, store.status(block))
        if store.sync:
            sync_file(paths.file)
        put_status(store, paths, *checksum_of_file(paths.file))


def sweep_block(store: BlockStore, block: Roi) -> int:
    """Remove the files that dead writers of this host left of a block.

    A living writer's files stay: only the holder of the block's lock removes anything.

    Parameters
    ----------
    store : BlockStore
    block : Roi
        In absolute voxels.

    Returns
    -------
    int
        Number of files that were removed.
    """
    paths = store.paths(block)
    if not Path(paths.directory).exists():
        return 0
    removed = 0
    if leftovers(paths) or Path(paths.lock).exists():
        lock = FileLock(paths.file)
        if not lock.acquire(blocking=False):
            return 0
        try:
            removed = remove_leftovers(paths) + (lock.took_over is not None)
        finally:
            lock.release()
    remove_if_empty(store, paths)
    return removed


def remove_block(store: BlockStore, block: Roi) -> None:
    """Remove a block with all its files, and nothing else.

    Parameters
    ----------
    store : BlockStore
    block : Roi
        In absolute voxels.

    Raises
    ------
    LockTimeout
        If another holds its lock; nothing was changed.
    """
    paths = store.paths(block)
    if not Path(paths.directory).exists():
        return
    if Path(paths.file).parent.exists():
        with storage_errors("remove", paths.file), FileLock(paths.file, timeout_s=store.lock_timeout_s):
            remove_if_there(paths.status)
            remove_if_there(paths.file)
            remove_if_there(store.naming.paths_of_numpy2(block).file)
            remove_leftovers(paths)
    remove_if_empty(store, paths)


def remove_if_empty(store: BlockStore, paths: BlockPaths) -> None:
    """Remove the directory of a block that holds only the description's copy, and empty parents.

    Parameters
    ----------
    store : BlockStore
    paths : BlockPaths
        Of the block.
    """
    directory = Path(paths.directory)
    remove_empty_until(Path(paths.file).parent, directory)
    try:
        rest = {entry.name for entry in directory.iterdir()}
    except FileNotFoundError:
        return  # somebody else was quicker
    if rest == {store.description_copy.name}:
        remove_if_there(str(directory / store.description_copy.name))
    elif rest:
        return
    remove_empty_until(directory, Path(store.naming.root))
