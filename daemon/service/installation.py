"""The files of blockmill on disk: an upgrade may replace them while this process runs their old code."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).parents[2] / "__init__.py"


class Installation:
    """Knows whether the code on disk is still that of this process, by the file that holds its version.

    Parameters
    ----------
    file : Path
    """

    def __init__(self, file: Path = _ROOT) -> None:
        self._file = file
        self._content = file.read_bytes()
        self._seen = self._look()

    def _look(self) -> tuple[int, int, int]:
        facts = self._file.stat()
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    @property
    def replaced(self) -> bool:
        """True if another version is there, or none: workers would mix its code with that of this process."""
        try:
            if (look := self._look()) == self._seen:
                return False
            if self._file.read_bytes() != self._content:
                return True
        except OSError:  # in the middle of an upgrade
            return True
        self._seen = look  # the same version was installed again
        return False
