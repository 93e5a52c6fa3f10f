"""The surroundings of a block file: its directories, what dead writers left, other writers' locks."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ...errors import StorageError
from ...files.atomic import PARTIAL_MARK, remove_if_there
from ...locking.filelock import FileLock, stale
from .layout import BlockPaths

_OLD_CANDIDATE_S = 600


@contextlib.contextmanager
def told(doing: str, path: str) -> Iterator[None]:
    """Turn what the system refuses into a StorageError that names the file."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"could not {doing} {path}: {error}") from error


def remove_empty_until(directory: Path, end: Path) -> None:
    """Remove empty directories from `directory` upwards, `end` excluded."""
    while directory != end:
        try:
            directory.rmdir()
        except OSError:
            return  # in use, or by others: then it is not ours to remove
        directory = directory.parent


def make_directories(paths: BlockPaths) -> bool:
    """Make the directories of a block; returns whether the block's own was not there before."""
    created = _made(paths.directory)
    if created is None:
        Path(paths.directory).parent.mkdir(parents=True, exist_ok=True)
        created = _made(paths.directory)
    if os.path.dirname(paths.file) != paths.directory:
        Path(paths.file).parent.mkdir(parents=True, exist_ok=True)
    return bool(created)


def _made(directory: str) -> bool | None:
    """Whether a directory was made now; None where its parent lacks."""
    try:
        os.mkdir(directory)  # noqa: PTH102 - a Path costs more than the system call
    except FileExistsError:
        return False
    except FileNotFoundError:
        return None
    return True


def leftovers(paths: BlockPaths) -> list[str]:
    """What writers of this block left lying: partial files, and locks that never came into their place.

    Whoever holds the block's lock knows that nobody writes the partial files; of the locks, only
    those of dead processes are told.
    """
    found: list[str] = []
    directories = {os.path.dirname(paths.file), paths.directory}
    names = [os.path.basename(path) for path in (paths.file, paths.status)]
    marks = tuple(name + PARTIAL_MARK for name in names)
    candidates = tuple(f"{name}.lock-" for name in names)
    for directory in directories:
        for name in os.listdir(directory):  # noqa: PTH208 - Paths cost more than the system call
            path = f"{directory}/{name}"
            if name.startswith(marks) or (name.startswith(candidates) and _is_dead_candidate(Path(path))):
                found.append(path)
    return found


def _is_dead_candidate(entry: Path) -> bool:
    """Whether a lock that is not in its place yet never will be."""
    if stale(entry):
        return True
    try:
        facts = entry.stat()
    except FileNotFoundError:
        return False
    # Killed before it told its owner. Living ones get their text within microseconds.
    return facts.st_size == 0 and time.time() - facts.st_mtime > _OLD_CANDIDATE_S


def remove_leftovers(paths: BlockPaths) -> int:
    """Remove the left-overs of a block whose lock the caller holds; returns how many."""
    return sum(remove_if_there(path) for path in leftovers(paths))


def other_writer(paths: BlockPaths) -> str | None:
    """Who holds the lock of a block, in words, unless it is a writer of ours on this host."""
    if not os.access(paths.lock, os.F_OK):
        return None
    holder = FileLock(paths.file).holder()
    return None if holder is None or holder.is_here else f"its lock is held by {holder.describe()}"
