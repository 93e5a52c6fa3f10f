"""Locks of blocks that nobody will ever release, removed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from ...files.atomic import remove_if_there
from ...geometry.roi import Shape
from ...locking import lockfile as lockholder
from ...locking.filelock import FileLock
from .layout import BlockPaths


@dataclass(frozen=True, slots=True)
class PurgedLock:
    """A lock file that was removed, or was left.

    Attributes
    ----------
    block_start : tuple of int
        The block, in the view.
    path : str
        The lock file.
    state : {"dead", "foreign", "alive"}
        Of a dead process of ours on this host; of lazyflow, of another host or container, or of nobody
        knows whom; or of a living process of ours, which is never removed.
    holder : str
        Who held it, in words.
    removed : bool
    """

    block_start: Shape
    path: str
    state: Literal["dead", "foreign", "alive"]
    holder: str
    removed: bool


def purge_lock(start: Shape, paths: BlockPaths, *, foreign: bool) -> PurgedLock | None:
    """Remove the lock of a block if its owner is dead, or, where that is asked, not ours; None: no lock."""
    if not os.path.lexists(paths.lock):
        return None
    sight = lockholder.look(paths.lock)
    if sight is None:
        return None
    holder = sight.holder
    try:
        if not holder.is_here:
            # The very file that was looked at, not one that somebody has put there since.
            gone = foreign and sight.fd >= 0 and lockholder.lies_at(paths.lock, os.fstat(sight.fd))
            removed = gone and remove_if_there(paths.lock)
            return PurgedLock(start, paths.lock, "foreign", holder.describe(), removed)
    finally:
        sight.close()
    # The flock tells the dead from the living, and whoever has it may remove the file.
    lock = FileLock(paths.file)
    if not lock.acquire(blocking=False):
        return PurgedLock(start, paths.lock, "alive", holder.describe(), False)
    took_over = lock.took_over is not None
    lock.release()
    return PurgedLock(start, paths.lock, "dead", holder.describe(), True) if took_over else None
