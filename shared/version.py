"""The version of the code that runs, which that of the files on disk may differ from after an upgrade."""

from __future__ import annotations

import re
from pathlib import Path

from .. import __version__ as __version__

_ROOT = Path(__file__).parents[1] / "__init__.py"
_PARTS = re.compile(r"(\d+(?:\.\d+)*)(.*)", re.DOTALL)


def is_older(version: str, other: str) -> bool:
    """Test if a version comes before another one.

    Parameters
    ----------
    version, other : str
        Such as "0.2.0"; a pre-release ("0.2.0.dev0", "0.2.0rc1") comes before its release. Any other text
        comes before all versions.

    Returns
    -------
    bool
    """
    return _order(version) < _order(other)


def _order(version: str) -> tuple[tuple[int, ...], bool, str]:
    match = _PARTS.fullmatch(version)
    if match is None:
        return (), False, version
    numbers = [int(number[:9]) for number in match[1].split(".")]
    while numbers and not numbers[-1]:  # 0.2 and 0.2.0 are the same
        numbers.pop()
    return tuple(numbers), not match[2], match[2]


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
    def trouble(self) -> str:
        """Why no job may be started: workers would mix the code of two versions. Empty: they may."""
        if not self._is_replaced():
            return ""
        return (
            f"the files of blockmill were replaced while its service runs (version {__version__}); start the "
            "service again, its jobs go on"
        )

    def _is_replaced(self) -> bool:
        try:
            if (look := self._look()) == self._seen:
                return False
            if self._file.read_bytes() != self._content:
                return True
        except OSError:  # in the middle of an upgrade
            return True
        self._seen = look  # the same version was installed again
        return False
