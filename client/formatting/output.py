"""The output of verbs: data on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

_STYLES = {"done": "32", "running": "36", "failed": "31", "done with failures": "31", "cancelled": "33"}


def complain(text: str) -> None:
    """Print a line on stderr: stdout is for data."""
    print(text, file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print a line on stdout."""
    print(text, flush=True)


def say_json(**content: Any) -> None:
    """Print one JSON document."""
    from .document import document  # late: the command's help needs none

    say(document(**content))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns; lines are cut at the width of a terminal.

    Parameters
    ----------
    head : sequence of str
        Titles of the columns.
    rows : sequence of sequence of str
        As many cells each; the second one chooses a row's colour, if it is a job's state.
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
    max_width = os.get_terminal_size().columns if sys.stdout.isatty() else 1 << 16
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        line = "  ".join((*cells, row[-1])).rstrip()[:max_width]
        say(_in_colour(line, row[1]) if row is not head else line)


def _in_colour(line: str, state: str) -> str:
    code = _STYLES.get(state)
    return f"\x1b[{code}m{line}\x1b[0m" if code and use_colour() else line


def use_colour() -> bool:
    """Test if output is coloured: BLOCKMILL_COLOR says so, or stdout is a terminal without NO_COLOR."""
    setting = os.environ.get("BLOCKMILL_COLOR", "auto")
    if setting != "auto":
        return setting == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
