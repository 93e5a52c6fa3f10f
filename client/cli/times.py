"""Points in time as people write them on the command line."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

_SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(s|min|m|h|d|w)", re.ASCII)


def parse_since(text: str) -> float:
    """The time that ``--since`` names: so long ago, or a local time, of today if it has no date.

    Returns
    -------
    float
        Seconds since 1970, UTC.

    Raises
    ------
    click.BadParameter
        If it names none.
    """
    text = text.strip()
    if match := _DURATION.fullmatch(text):
        return time.time() - float(match[1]) * _SECONDS[match[2]]
    today = time.strftime("%Y-%m-%d")
    for candidate in (text, f"{today}T{text}"):
        try:
            return datetime.fromisoformat(candidate).timestamp()
        except (ValueError, OverflowError):
            continue
    raise click.BadParameter(
        f"{text!r} is no time; give how long ago (90s, 10min, 2h, 3d) or when (14:30, 2026-11-28, "
        "2026-11-28T14:30)",
        param_hint="'--since'",
    )
