"""The output of verbs: data on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

_STYLES = {"done": "32", "running": "36", "failed": "31", "done with failures": "31", "cancelled": "33"}


def complain(text: str) -> None:
    """A line on stderr: stdout is for data."""
    print(text, file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line on stdout."""
    print(text, flush=True)


def say_json(**content: Any) -> None:
    """One JSON document."""
    from .document import document  # late: the command's help needs none

    say(document(**content))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns; the last one is as long as it is, cut where the terminal ends."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
    most = os.get_terminal_size().columns if sys.stdout.isatty() else 1 << 16
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        line = "  ".join((*cells, row[-1])).rstrip()[:most]
        say(_coloured(line, row[1]) if row is not head else line)


def _coloured(line: str, state: str) -> str:
    code = _STYLES.get(state)
    return f"\x1b[{code}m{line}\x1b[0m" if code and use_colour() else line


def use_colour() -> bool:
    """Test if stdout takes colours: asked for, or a terminal without NO_COLOR."""
    wanted = os.environ.get("BLOCKMILL_COLOR", "auto")
    if wanted != "auto":
        return wanted == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
