"""Formats sizes, rates, times and counts for people, everywhere the same; machines get bytes and seconds."""

from __future__ import annotations

_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIMES = ((86400, "d"), (3600, "h"), (60, "min"))


def format_size(nbytes: float) -> str:
    """Bytes in the binary unit that fits, with three digits: "1.50 GiB", "20.3 MiB", "512 B"."""
    for factor, unit in _SIZES:
        if nbytes >= factor:
            value = nbytes / factor
            decimals = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{decimals}f} {unit}"
    return f"{nbytes:.0f} B"


def format_rate(nbytes: float, seconds: float) -> str:
    """Bytes a second, in the unit that fits: "20.3 MiB/s".

    Parameters
    ----------
    nbytes, seconds : float

    Returns
    -------
    str
    """
    return f"{format_size(nbytes / max(seconds, 1e-9))}/s"


def format_duration(seconds: float) -> str:
    """A time span in the unit that fits, with a decimal below ten: "0.4 s", "90 s", "2.5 min", "12 h"."""
    for factor, unit in _TIMES:
        if seconds >= 2 * factor:
            return _short(seconds / factor, unit)
    return _short(seconds, "s")


def format_count(count: int, noun: str) -> str:
    """A number with its noun: "1 block", "2 blocks".

    Parameters
    ----------
    count : int
    noun : str
        In the singular; the plural takes an s.

    Returns
    -------
    str
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _short(value: float, unit: str) -> str:
    return f"{value:.{1 if value < 10 else 0}f} {unit}"
