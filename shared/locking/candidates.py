"""Candidates for locks whose makers died before one of them became the lock."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from .filelock import stale

_OLD_S = 600


def is_dead_candidate(path: Path) -> bool:
    """Test if the maker of a candidate for a lock died before it became one."""
    if stale(path):
        return True
    try:
        facts = path.stat()
    except FileNotFoundError:
        return False
    # Killed before it wrote its owner's name. Living ones get their text within microseconds.
    return facts.st_size == 0 and time.time() - facts.st_mtime > _OLD_S


def remove_dead_candidates(lock_path: str) -> None:
    """Remove the dead candidates for a lock that the caller holds; others of these names stay."""
    folder, name = os.path.split(lock_path)
    of_this_lock = re.compile(re.escape(name) + "-[0-9a-f]{16}")
    with contextlib.suppress(OSError):  # what can't be listed or removed harms nobody
        for entry in os.listdir(folder):  # noqa: PTH208 - in a large folder Paths cost too much
            if of_this_lock.fullmatch(entry) and is_dead_candidate(Path(folder, entry)):
                os.unlink(os.path.join(folder, entry))  # noqa: PTH108
