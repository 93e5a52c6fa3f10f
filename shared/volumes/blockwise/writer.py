"""Single blocks of a fileset on disk: each is written, marked and removed under its lock.

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
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from ...errors import CorruptBlock, LockLost, StorageError
from ...files.atomic import (
    partial_name,
    remove_if_there,
    removed_on_error,
    sync_directory,
    sync_file,
    write_atomically,
    write_new,
)
from ...geometry.roi import Roi
from ...locking.filelock import FileLock
from ..hdf5.layout import new_image
from .block_file import read_bytes, updated_image
from .fast.contiguous import known_of_new
from .fast.image import KnownImage, ReadyImage, packed_image
from .fast.packed import image_and_make
from .layout import BlockPaths
from .reader import BlockReader
from .status import StatusRecord, boot_id, checksum_of_file, checksum_text, format_status
from .surroundings import leftovers, make_directories, remove_empty_until, remove_leftovers, told

_DIRECTORY_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class BlockWriter(BlockReader):
    """The blocks of one fileset, to be changed."""

    def write(self, block: Roi, part: Roi, data: NDArray, *, available: bool) -> None:
        """Write `data` to a part (relative to the block); a part that is all writes the file anew.

        Raises
        ------
        LockTimeout
            If another holds the block's lock; nothing was changed.
        LockLost
            If the lock file was taken from us meanwhile; the old block is still there.
        CorruptBlock
            If the rest of the block can't be kept because the old file can't be read, or was
            damaged by a power cut.
        StorageError
            If the system refuses (a full disk); the old block and its status are still there.
        """
        with (
            told("write", self.naming.paths(block).file),
            self._locked_to_write(block) as (paths, lock),
        ):
            if part.shape != block.shape:
                self.check_whole(block, self.status(block))
            self._put(paths, lock, block, part, data, available)

    def fill(self, block: Roi, make: Callable[[], NDArray]) -> bool:
        """Write a block that is not there whole with the voxels that `make` gives, and mark it available.

        `make` runs under the block's lock, after another look at the block, so that of all who
        want to fill it at once only one does. If `make` raises, nothing is changed.

        Returns
        -------
        bool
            False if another had filled it.

        Raises
        ------
        LockTimeout, LockLost, StorageError
            See `write`.
        """
        try:
            with (
                told("write", self.naming.paths(block).file),
                self._locked_to_write(block) as (paths, lock),
            ):
                if self.sound(block):
                    return False
                self._put(paths, lock, block, Roi.from_shape(block.shape), make(), True)
                return True
        except BaseException:
            self._remove_empty(self.naming.paths(block))
            raise

    def _put(
        self, paths: BlockPaths, lock: FileLock, block: Roi, part: Roi, data: NDArray, available: bool
    ) -> None:
        """Write a block whose lock is held."""
        image = self._image(paths, block, part, data)
        partial = partial_name(paths.file)
        with removed_on_error(partial):
            write_new(partial, image, sync=self.sync)
            _swap_in(partial, paths, lock)
        if self.sync:
            sync_directory(os.path.dirname(paths.file))
        if available:
            self._put_status(paths, image.size_bytes, checksum_text(image.checksum), lock)

    def _image(self, paths: BlockPaths, block: Roi, part: Roi, data: NDArray) -> ReadyImage | KnownImage:
        if part.shape == block.shape:
            return self._whole_image(paths.internal, data)
        old = read_bytes(paths.file)
        if old is None:
            return ReadyImage(new_image(self.layout, paths.internal, block.shape, part, data))
        try:
            return ReadyImage(updated_image(old, self.layout, paths.internal, block.shape, part, data))
        except CorruptBlock as error:
            raise CorruptBlock(self.corrupt(paths, str(error))) from error

    def _whole_image(self, internal: str, data: NDArray) -> ReadyImage | KnownImage:
        """The content of a new file with all voxels of a block; by HDF5 only where it must be."""
        known = known_of_new(self.layout, internal, data.shape)
        if known is not None:
            self.known.meet(internal, data.shape, known)
            return KnownImage(known, data)
        make = self.known.ours(internal, data.shape)
        image = None if make is None else packed_image(make, data)
        if image is not None:
            return image
        content, make = image_and_make(self.layout, internal, data)
        if make is not None:
            self.known.meet_ours(internal, data.shape, make)
        return ReadyImage(content)

    def _put_status(
        self, paths: BlockPaths, size_bytes: int, checksum: str, lock: FileLock | None = None
    ) -> None:
        """Write the status of a block; with its lock, whose file becomes the status in the same step."""
        content = format_status(StatusRecord(size_bytes, checksum, self.job, boot_id(), self.sync))
        if lock is None or not lock.release_as(paths.status, content):
            write_atomically(paths.status, content)

    @contextlib.contextmanager
    def _locked_to_write(self, block: Roi) -> Iterator[tuple[BlockPaths, FileLock]]:
        """The block's directory, made if need be, and its lock, with dead writers' files removed."""
        created, paths, lock = self._lock_in_directory(block)
        try:
            if not created:
                remove_leftovers(paths)
            elif self.puts_note:
                self.note.put(paths.directory)
            yield paths, lock
        finally:
            if lock.locked():  # else its file has become the status
                lock.release()

    def _lock_in_directory(self, block: Roi) -> tuple[bool, BlockPaths, FileLock]:
        """Make the directory of a block and take its lock; tells whether the directory is new."""
        for _ in range(_DIRECTORY_ATTEMPTS):
            created = make_directories(self.naming.paths(block))
            paths = self.naming.paths(block) if created else self.paths(block)
            lock = FileLock(paths.file, timeout_s=self.lock_timeout_s)
            try:
                lock.acquire()
            except StorageError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise  # else a sweep took the empty directory away: make it again
            else:
                return created, paths, lock
        raise StorageError(
            f"the directory of {self.naming.paths(block).file} vanishes as often as it is made"
        )

    def mark(self, block: Roi, available: bool) -> None:
        """Mark a block available, with the facts of its file as it is now, or not available.

        Raises
        ------
        StorageError
            If a block without a file is to be marked available.
        CorruptBlock
            If a block is to be marked available that is so already, and was damaged by a power cut.
        LockTimeout
            If another holds its lock; nothing was changed.
        """
        paths = self.paths(block)
        if available and not Path(paths.file).exists():
            raise StorageError(f"{paths.file} does not exist; write the block before marking it available")
        if not Path(os.path.dirname(paths.file)).exists():
            return
        with told("mark", paths.file), FileLock(paths.file, timeout_s=self.lock_timeout_s):
            if not available:
                remove_if_there(paths.status)
                return
            self.check_whole(block, self.status(block))
            if self.sync:
                sync_file(paths.file)
            self._put_status(paths, *checksum_of_file(paths.file))

    def sweep(self, block: Roi) -> int:
        """Remove what writers that died on this host left of a block; returns how many files.

        A living writer's files stay: only who holds the block's lock removes anything.
        """
        paths = self.paths(block)
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
        self._remove_empty(paths)
        return removed

    def remove(self, block: Roi) -> None:
        """Remove a block, with all that belongs to it and nothing else.

        Raises
        ------
        LockTimeout
            If another holds its lock; nothing was changed.
        """
        paths = self.paths(block)
        if not Path(paths.directory).exists():
            return
        if Path(paths.file).parent.exists():
            with told("remove", paths.file), FileLock(paths.file, timeout_s=self.lock_timeout_s):
                remove_if_there(paths.status)
                remove_if_there(paths.file)
                remove_if_there(self.naming.paths_of_numpy2(block).file)
                remove_leftovers(paths)
        self._remove_empty(paths)

    def _remove_empty(self, paths: BlockPaths) -> None:
        """Remove a directory that holds nothing but the debug copy, and its parents if they are empty."""
        directory = Path(paths.directory)
        remove_empty_until(Path(paths.file).parent, directory)
        try:
            rest = {entry.name for entry in directory.iterdir()}
        except FileNotFoundError:
            return  # somebody else was quicker
        if rest == {self.note.name}:
            remove_if_there(str(directory / self.note.name))
        elif rest:
            return
        remove_empty_until(directory, Path(self.naming.root))


def _check_ours(lock: FileLock, paths: BlockPaths) -> None:
    if not lock.still_ours():
        raise LockLost(f"the lock {paths.lock} is no longer ours; {paths.file} was left as it was")


def _swap_in(partial: str, paths: BlockPaths, lock: FileLock) -> None:
    """Drop the status and rename the partial file over the block; undone wherever that fails."""
    hidden = partial_name(paths.status)
    had_status = True
    try:
        _check_ours(lock, paths)
        try:
            os.rename(paths.status, hidden)  # noqa: PTH104 - a Path costs more than the system call
        except FileNotFoundError:
            had_status = False
        _check_ours(lock, paths)
        os.replace(partial, paths.file)  # noqa: PTH105
    except BaseException:
        # The disk tells whether the rename came first. A status is not put back under
        # another writer's hands: what it is now is theirs to say.
        if Path(partial).exists() and (lock.still_ours() or lock.available()):
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.link(hidden, paths.status)
        raise
    finally:
        if had_status:
            remove_if_there(hidden)
