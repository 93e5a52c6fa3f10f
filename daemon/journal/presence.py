"""Looks if the journal that is written is still the one that the next start will find."""

from __future__ import annotations

import os
from pathlib import Path


class Presence:
    """Watches the names of a journal's files: SQLite goes on with files that somebody has removed.

    Parameters
    ----------
    path : Path
        The journal, just opened. Its write-ahead log is watched from the first look at which it is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, tuple[int, int]] = {}
        self._look()

    def trouble(self) -> str:
        """A sentence if a file was removed, or another one has its name; else empty."""
        for name, known in self._files.items():
            if _identity(name) != known:
                return (
                    f"{self._path}: the journal was removed or replaced while the service runs ({name} is "
                    "gone), so what it accepts would be forgotten; put it back, or start the service again"
                )
        self._look()
        return ""

    def _look(self) -> None:
        for name in (str(self._path), f"{self._path}-wal"):
            if name not in self._files and (identity := _identity(name)) is not None:
                self._files[name] = identity


def _identity(name: str) -> tuple[int, int] | None:
    try:
        facts = os.stat(name)  # noqa: PTH116 - asked for at each commit
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
