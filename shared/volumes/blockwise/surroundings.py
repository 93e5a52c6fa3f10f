"""Everything around a block file: directories, status, files of dead writers, locks of others."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import LockLost
from ...files.atomic import PARTIAL_MARK, partial_name, remove_if_there
from ...files.fingerprints import file_state
from ...files.refusals import storage_errors
from ...geometry.roi import Shape
from ...locking.candidates import is_dead_candidate
from ...locking.filelock import FileLock
from ...locking.lockfile import left_behind, lies_at, open_existing
from .layout import STATUS_NAME, BlockPaths, Naming

_NO_FILE = b"none"  # as `file_state` has it


def remove_empty_until(directory: Path, end: Path) -> None:
    """Remove empty directories upwards.

    Parameters
    ----------
    directory : Path
        The first one to remove.
    end : Path
        Stays, as does all above it.
    """
    while directory != end:
        try:
            directory.rmdir()
        except OSError:
            return  # in use, or by others: then it is not ours to remove
        directory = directory.parent


def make_directories(paths: BlockPaths) -> bool:
    """Make the directories of a block. Returns True if the block's own directory is new."""
    created = _make_directory(paths.directory)
    if created is None:
        Path(paths.directory).parent.mkdir(parents=True, exist_ok=True)
        created = _make_directory(paths.directory)
    if os.path.dirname(paths.file) != paths.directory:
        Path(paths.file).parent.mkdir(parents=True, exist_ok=True)
    return bool(created)


def _make_directory(directory: str) -> bool | None:
    """Make a directory: True if it is new, False if it exists, None if its parent does not exist."""
    try:
        os.mkdir(directory)  # noqa: PTH102 - a Path costs more than the system call
    except FileExistsError:
        return False
    except FileNotFoundError:
        return None
    return True


def leftovers(paths: BlockPaths) -> list[str]:
    """Files that dead writers left of this block: partial files, and candidates that never became locks.

    The caller holds the block's lock, so nobody writes the partial files. Of the locks, only
    those of dead processes are listed.
    """
    leftover_paths: list[str] = []
    directories = {os.path.dirname(paths.file), paths.directory}
    names = [os.path.basename(path) for path in (paths.file, paths.status)]
    marks = tuple(name + PARTIAL_MARK for name in names)
    candidates = tuple(f"{name}.lock-" for name in names)
    for directory in directories:
        for name in os.listdir(directory):  # noqa: PTH208 - Paths cost more than the system call
            path = f"{directory}/{name}"
            if name.startswith(marks) or (name.startswith(candidates) and is_dead_candidate(Path(path))):
                leftover_paths.append(path)
    return leftover_paths


def remove_leftovers(paths: BlockPaths) -> int:
    """Remove the left-overs of a block whose lock the caller holds. Returns their number."""
    return sum(remove_if_there(path) for path in leftovers(paths))


def other_writer(paths: BlockPaths) -> str | None:
    """The holder of the lock of a block, in words, unless it is a writer of ours on this machine."""
    if not os.access(paths.lock, os.F_OK):
        return None
    holder = FileLock(paths.file).holder()
    if holder is None or holder.is_here or holder.is_torn:
        return None
    return f"its lock is held by {holder.describe()}"


def _check_lock(lock: FileLock, paths: BlockPaths) -> None:
    if not lock.still_ours():
        raise LockLost(f"the lock {paths.lock} is no longer ours; {paths.file} was left as it was")


def swap_in(partial: str, paths: BlockPaths, lock: FileLock) -> None:
    """Drop the status and rename the partial file over the block; a failure is undone.

    Parameters
    ----------
    partial : str
        The new file, whole, in the block's directory.
    paths : BlockPaths
        Of the block.
    lock : FileLock
        The block's lock, held.

    Raises
    ------
    LockLost
        If the lock is no longer ours; the old block stays.
    OSError
        If the system refuses; the old block stays.
    """
    hidden = partial_name(paths.status)
    had_status = True
    try:
        _check_lock(lock, paths)
        try:
            os.rename(paths.status, hidden)  # noqa: PTH104 - a Path costs more than the system call
        except FileNotFoundError:
            had_status = False
        _check_lock(lock, paths)
        os.replace(partial, paths.file)  # noqa: PTH105
    except BaseException:
        # The disk shows if the rename came first. A status is not put back while another
        # writer is at work: that one decides about the status.
        if Path(partial).exists() and (lock.still_ours() or lock.available()):
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.link(hidden, paths.status)
        raise
    finally:
        if had_status:
            remove_if_there(hidden)


@dataclass(frozen=True, slots=True)
class PurgedLock:
    """A lock file that was removed, or was left.

    Attributes
    ----------
    block_start : tuple of int
        First corner of the block, in the view.
    path : str
        The lock file.
    state : {"dead", "foreign", "alive"}
        "dead": of a dead process of ours on this host. "foreign": of lazyflow, of another host or
        container, or unknown. "alive": of a living process of ours, never removed.
    holder : str
        The owner, in words.
    removed : bool
    """

    block_start: Shape
    path: str
    state: Literal["dead", "foreign", "alive"]
    holder: str
    removed: bool


def purge_lock(start: Shape, paths: BlockPaths, *, foreign: bool) -> PurgedLock | None:
    """Remove the lock of a block if its owner is dead.

    Parameters
    ----------
    start : tuple of int
        First corner of the block, in the view.
    paths : BlockPaths
        Of the block.
    foreign : bool
        Also remove a lock whose owner can't be checked.

    Returns
    -------
    PurgedLock or None
        None if there is no lock.
    """
    if not os.path.lexists(paths.lock):
        return None
    lock_file = open_existing(paths.lock)
    if lock_file is None:
        return None
    holder = lock_file.holder
    try:
        if not left_behind(lock_file, private=False):
            # The very file that was looked at, not one that somebody has put there since.
            removable = foreign and lock_file.fd >= 0 and lies_at(paths.lock, os.fstat(lock_file.fd))
            removed = removable and remove_if_there(paths.lock)
            return PurgedLock(start, paths.lock, "foreign", holder.describe(), removed)
    finally:
        lock_file.close()
    # The flock distinguishes the dead from the living, and whoever has it may remove the file.
    lock = FileLock(paths.file)
    if not lock.acquire(blocking=False):
        return PurgedLock(start, paths.lock, "alive", holder.describe(), False)
    took_over = lock.took_over is not None
    lock.release()
    return PurgedLock(start, paths.lock, "dead", holder.describe(), True) if took_over else None


def starts_there(naming: Naming, fits: Callable[[int, int], bool]) -> Iterator[Shape]:
    """First corners of the blocks that have a directory, in C order.

    Parameters
    ----------
    naming : Naming
    fits : callable
        Takes the number of an axis and a coordinate on it; False if no wanted block starts there.

    Yields
    ------
    tuple of int
        In absolute voxels.

    Raises
    ------
    StorageError
        If a directory can't be looked into.
    """
    return _below(naming, naming.root.rstrip("/"), (), fits)


def _below(naming: Naming, folder: str, start: Shape, fits: Callable[[int, int], bool]) -> Iterator[Shape]:
    axis = len(start)
    if axis == len(naming.axes):
        yield start
        return
    for n in _numbers(folder, f"{naming.axes[axis]}_"):
        if fits(axis, n):
            yield from _below(naming, f"{folder}/{naming.axes[axis]}_{n:08d}", (*start, n), fits)


def status_states(naming: Naming, starts: Sequence[range]) -> Iterator[bytes]:
    """The states of the status files of all blocks, in C order; each folder is looked into once.

    Parameters
    ----------
    naming : Naming
    starts : sequence of range
        Where blocks start on each axis, in absolute voxels.

    Yields
    ------
    bytes
        Of one or more blocks; see `file_state`.

    Raises
    ------
    StorageError
        If a directory can't be looked into.
    """
    return _states_below(naming, naming.root.rstrip("/"), starts)


def _states_below(naming: Naming, folder: str, starts: Sequence[range]) -> Iterator[bytes]:
    here, *below = starts
    prefix = f"{naming.axes[-len(starts)]}_"
    there = set(_numbers(folder, prefix))
    for n in here:
        path = f"{folder}/{prefix}{n:08d}"
        if n not in there:
            yield _NO_FILE * math.prod(map(len, below))
        elif below:
            yield from _states_below(naming, path, below)
        else:
            yield file_state(f"{path}/{STATUS_NAME}")


def _numbers(folder: str, prefix: str) -> list[int]:
    """The coordinates for which there is an entry in a folder; empty if there is no such folder."""
    with storage_errors("look into", folder):
        try:
            names = os.listdir(folder)  # noqa: PTH208 - Paths cost more than the system call
        except (FileNotFoundError, NotADirectoryError):
            return []  # a block that another has removed meanwhile, or a file of somebody's
    numbers = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return sorted(int(n) for n in numbers if n.isdecimal() and n.isascii() and n == f"{int(n):08d}")
