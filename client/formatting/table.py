"""Tables of text: all of it in a file, and what fits on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .output import on_terminal, say, use_colour

_STYLES = {"done": "32", "running": "36", "failed": "31", "done with failures": "31", "cancelled": "33"}
_USUAL_WIDTH = 80
_SHORTEST_NAME = 8
_GAP, _MORE, _INDENT = "  ", "…", "    "

_Row = Sequence[str]


def print_table(head: _Row, rows: Sequence[_Row], *, name: str | None = None) -> None:
    """Print aligned columns.

    On a terminal, empty columns are left out, long names end in an ellipsis, and a last cell for which
    there is no room has a line of its own.

    Parameters
    ----------
    head : sequence of str
        Titles of the columns.
    rows : sequence of sequence of str
        As many cells each; the second one chooses a row's colour, if it is a job's state.
    name : str, optional
        Title of the column that may be cut.
    """
    max_width = terminal_width() if on_terminal() else None
    for line, state in lines_of(head, rows, name, max_width):
        say(_in_colour(line, state))


def lines_of(
    head: _Row, rows: Sequence[_Row], name: str | None, max_width: int | None
) -> list[tuple[str, str]]:
    """The lines of a table.

    Parameters
    ----------
    head, rows, name
        As for `print_table`.
    max_width : int or None
        Columns of the terminal; None: lines may have any length.

    Returns
    -------
    list of (str, str)
        Each line with the second cell of its row, which is empty for the head.
    """
    table = [tuple(head), *map(tuple, rows)]
    columns = list(range(len(head) - 1))
    if max_width is not None:
        columns = [i for i in columns if any(row[i] for row in rows)]
    widths = {i: max(len(row[i]) for row in table) for i in columns}
    if max_width is not None and name is not None and (at := head.index(name)) in widths:
        _fit(widths, at, max_width)
    lines = []
    for row in table:
        cells = _GAP.join(_cut(row[i], width).ljust(width) for i, width in widths.items())
        state = "" if row is table[0] else row[1]
        lines += [(line, state) for line in _with_last_cell(cells, row[-1], max_width)]
    return lines


def _fit(widths: dict[int, int], name: int, max_width: int) -> None:
    """Make the column of names as narrow as need be; then leave out what is right of it."""
    widths[name] = min(widths[name], max(24, max_width // 4))
    while (excess := _total(widths) - max_width) > 0:
        if widths[name] - excess >= _SHORTEST_NAME:
            widths[name] -= excess
        elif (last := max(widths)) > name:
            del widths[last]
        else:
            return


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _with_last_cell(cells: str, last: str, max_width: int | None) -> list[str]:
    line = f"{cells}{_GAP}{last}".rstrip()
    if max_width is None or len(line) <= max_width:
        return [line]
    first = _cut(cells.rstrip(), max_width)
    return [first, _INDENT + _cut(last, max_width - len(_INDENT))] if last else [first]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + _MORE


def terminal_width() -> int:
    """Columns of the terminal at stdout; the usual number where it says 0, as serial ones and scripts' do."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


def _in_colour(line: str, state: str) -> str:
    code = _STYLES.get(state)
    return f"\x1b[{code}m{line}\x1b[0m" if code and use_colour() else line
