"""Compare two checkouts in turns, and say whether the new one is as fast as the old one.

    python benchmarks/compare.py OLD_CHECKOUT NEW_CHECKOUT [--rows ROW ...] [--rounds 20] [--results FILE]

Each has its own environment, CHECKOUT/.venv (`make .venv/.core` makes it). In each round the two take turns
at every row, old first and new first by turns, each in a new process; the first round is dropped. Exit code:
0 no loss, 1 a row lost, 2 the checkouts can't be compared, 3 the machine was too busy to say.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from machine import DISTURBING, description
from paired import Verdict, judge

HERE = Path(__file__).resolve().parent
ROWS = {  # and the unit of the row's figure
    "noop": "us", "request": "us", "results": "s", "read_raw_64": "s", "write_raw_64": "s", "gaussian": "s",
    "cold_start": "s", "help": "s", "memory": "MB", "coordinator": "MB",
}  # fmt: skip
LIMIT_S = 120.0
ENOUGH_ROUNDS = 20
SIDES = ("old", "new")


class NotComparable(Exception):
    """The checkouts can't be compared; the message says why, and what to do."""


@dataclass
class RowFigures:
    """The figures of a row by side, one for each round that counts."""

    figures: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})
    cpu_s: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})

    def verdict(self) -> Verdict:
        """Judge new against old."""
        return judge(*(self.figures[side] for side in SIDES), *(self.cpu_s[side] for side in SIDES))


def order(number: int) -> tuple[str, ...]:
    """Return the sides in their order in a round."""
    return SIDES if number % 2 == 0 else SIDES[::-1]


def interpreter_of(checkout: Path) -> Path:
    """Return the interpreter of a checkout's own environment.

    Raises
    ------
    NotComparable
        If there is none.
    """
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        raise NotComparable(f"{checkout}: there is no {python}; `make .venv/.core` there makes it")
    return python


def run_rows(checkout: Path, *arguments: str) -> dict[str, Any]:
    """Run `rows.py` with a checkout's interpreter.

    Parameters
    ----------
    checkout : Path
    *arguments : str
        Of `rows.py`.

    Returns
    -------
    dict
        The JSON that it prints.

    Raises
    ------
    NotComparable
        If it fails, takes too long, or its blockmill is not that of the checkout.
    """
    command = [str(interpreter_of(checkout)), str(HERE / "rows.py"), *arguments]
    environ = {name: value for name, value in os.environ.items() if name not in DISTURBING}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=arguments[2]
    ) as process:
        try:
            text, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise NotComparable(
                f"{checkout}: {' '.join(arguments)} was not over after {LIMIT_S:g} s"
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise NotComparable(f"{checkout}: {' '.join(arguments)} ended with {process.returncode}")
    result = json.loads(text.splitlines()[-1])
    if not Path(result["blockmill"]).resolve().is_relative_to(checkout.resolve()):
        raise NotComparable(f"{checkout}: its environment imports {result['blockmill']}, which is not in it")
    return result


def compare(
    checkouts: dict[str, Path], rows: list[str], rounds: int, scratch: Path, *, small: bool = False
) -> dict[str, RowFigures]:
    """Measure all rows of both checkouts, in turns.

    Parameters
    ----------
    checkouts : dict
        The folders by side, "old" and "new".
    rows : list of str
    rounds : int
        Number of rounds that count; one more comes first.
    scratch : Path
        Folder for files of the measurements; it is not removed.
    small : bool
        Use sizes that only show that it runs.

    Returns
    -------
    dict of str to RowFigures

    Raises
    ------
    NotComparable
        If something fails on one side.
    """
    figures_by_row = {row: RowFigures() for row in rows}
    options = ["--small"] * small
    for row in rows:
        (scratch / row).mkdir()
        run_rows(checkouts["old"], "prepare", row, str(scratch / row), *options)
    for number in range(rounds + 1):
        start_s = time.monotonic()
        for row in rows:
            for side in order(number):
                result = run_rows(checkouts[side], "measure", row, str(scratch / row), *options)
                if number:
                    figures_by_row[row].figures[side].append(result["figure"])
                    figures_by_row[row].cpu_s[side].append(result["cpu_s"])
        print(f"round {number} of {rounds}: {time.monotonic() - start_s:.0f} s", file=sys.stderr)
    return figures_by_row


def table(figures_by_row: dict[str, RowFigures]) -> str:
    """Format a line for each row."""
    lines = [f"{'row':<14}{'old':>9}{'new':>9}     {'ratio [95 %]':<22} CPU"]
    for row, row_figures in figures_by_row.items():
        old, new = (statistics.median(row_figures.figures[side]) for side in SIDES)
        lines.append(f"{row:<14}{old:>9.4g}{new:>9.4g} {ROWS[row]:<3} {row_figures.verdict()}")
    return "\n".join(lines)


def as_json(checkouts: dict[str, Path], figures_by_row: dict[str, RowFigures]) -> dict[str, Any]:
    """Collect all results as plain JSON.

    Parameters
    ----------
    checkouts : dict
        The folders by side.
    figures_by_row : dict of str to RowFigures

    Returns
    -------
    dict
    """
    rows = {
        row: {"unit": ROWS[row], **asdict(row_figures), **asdict(row_figures.verdict())}
        for row, row_figures in figures_by_row.items()
    }
    revisions = {side: {"path": str(path), "revision": _revision(path)} for side, path in checkouts.items()}
    return {"checkouts": revisions, "rows": rows, "environment": description()}


def _revision(checkout: Path) -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main(arguments: list[str] | None = None) -> int:
    """Compare two checkouts; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path, metavar="OLD_CHECKOUT")
    parser.add_argument("new", type=Path, metavar="NEW_CHECKOUT")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="default: all")
    parser.add_argument("--rounds", type=int, default=ENOUGH_ROUNDS, help="those that count; default: 20")
    parser.add_argument("--results", type=Path, help="a file for all figures, as JSON")
    parser.add_argument("--scratch", type=Path, help="where scratch files go; on a disk, not in memory")
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    args = parser.parse_args(arguments)
    if args.rounds < 1:
        parser.error("--rounds: one at least")
    checkouts = {"old": args.old.resolve(), "new": args.new.resolve()}
    scratch = Path(tempfile.mkdtemp(prefix="compare-", dir=args.scratch))
    try:
        figures_by_row = compare(checkouts, args.rows, args.rounds, scratch, small=args.small)
    except NotComparable as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(scratch)
    print(table(figures_by_row))
    if args.rounds < ENOUGH_ROUNDS:
        print(f"fewer than {ENOUGH_ROUNDS} rounds: to look at only")
    if args.results is not None:
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps(as_json(checkouts, figures_by_row), indent=1) + "\n")
    verdicts = [row_figures.verdict() for row_figures in figures_by_row.values()]
    if not all(verdict.no_loss for verdict in verdicts):
        return 1
    return 3 if any(verdict.unclear for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
