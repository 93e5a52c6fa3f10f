"""The version of the code that runs, which that of the files on disk may differ from after an upgrade."""

from __future__ import annotations

import re

from .. import __version__ as __version__

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
