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

from machine import DISTURBING, described
from paired import Verdict, judged

HERE = Path(__file__).resolve().parent
ROWS = {  # and the unit of the row's figure
    "noop": "us", "request": "us", "results": "s", "read_raw_64": "s", "write_raw_64": "s", "gaussian": "s",
    "cold_start": "s", "help": "s", "memory": "MB", "coordinator": "MB",
}  # fmt: skip
LIMIT_S = 120.0
ENOUGH_ROUNDS = 20
SIDES = ("old", "new")


class NotComparable(Exception):
    """Why the two can't be compared, and what to do."""


@dataclass
class Found:
    """The figures of a row, one of each round that counts, by side."""

    figures: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})
    cpu_s: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})

    def verdict(self) -> Verdict:
        """New against old."""
        return judged(*(self.figures[side] for side in SIDES), *(self.cpu_s[side] for side in SIDES))


def order(number: int) -> tuple[str, ...]:
    """Which side goes first in a round."""
    return SIDES if number % 2 == 0 else SIDES[::-1]


def interpreter_of(checkout: Path) -> Path:
    """The interpreter of a checkout's own environment.

    Raises
    ------
    NotComparable
        If there is none.
    """
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        raise NotComparable(f"{checkout}: there is no {python}; `make .venv/.core` there makes it")
    return python


def told_by(checkout: Path, *arguments: str) -> dict[str, Any]:
    """What `rows.py` prints when the checkout's interpreter runs it.

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
    told = json.loads(text.splitlines()[-1])
    if not Path(told["blockmill"]).resolve().is_relative_to(checkout.resolve()):
        raise NotComparable(f"{checkout}: its environment imports {told['blockmill']}, which is not in it")
    return told


def compare(
    checkouts: dict[str, Path], rows: list[str], rounds: int, scratch: Path, *, small: bool = False
) -> dict[str, Found]:
    """Measure all rows of both checkouts, in turns.

    Parameters
    ----------
    checkouts : dict
        The folders by side, "old" and "new".
    rows : list of str
    rounds : int
        Those that count; one more comes first.
    scratch : Path
        Where files of the measurements go; it is not removed.
    small : bool
        Sizes that only show that it runs.

    Raises
    ------
    NotComparable
        If something fails on one side.
    """
    found = {row: Found() for row in rows}
    options = ["--small"] * small
    for row in rows:
        (scratch / row).mkdir()
        told_by(checkouts["old"], "prepare", row, str(scratch / row), *options)
    for number in range(rounds + 1):
        start_s = time.monotonic()
        for row in rows:
            for side in order(number):
                told = told_by(checkouts[side], "measure", row, str(scratch / row), *options)
                if number:
                    found[row].figures[side].append(told["figure"])
                    found[row].cpu_s[side].append(told["cpu_s"])
        print(f"round {number} of {rounds}: {time.monotonic() - start_s:.0f} s", file=sys.stderr)
    return found


def table(found: dict[str, Found]) -> str:
    """A line for each row."""
    lines = [f"{'row':<14}{'old':>9}{'new':>9}     {'ratio [95 %]':<22} CPU"]
    for row, one in found.items():
        old, new = (statistics.median(one.figures[side]) for side in SIDES)
        lines.append(f"{row:<14}{old:>9.4g}{new:>9.4g} {ROWS[row]:<3} {one.verdict()}")
    return "\n".join(lines)


def as_json(checkouts: dict[str, Path], found: dict[str, Found]) -> dict[str, Any]:
    """All that is known."""
    rows = {row: {"unit": ROWS[row], **asdict(one), **asdict(one.verdict())} for row, one in found.items()}
    revisions = {side: {"path": str(path), "revision": _revision(path)} for side, path in checkouts.items()}
    return {"checkouts": revisions, "rows": rows, "environment": described()}


def _revision(checkout: Path) -> str:
    command = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def main(arguments: list[str] | None = None) -> int:
    """Compare what the command line names."""
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
        found = compare(checkouts, args.rows, args.rounds, scratch, small=args.small)
    except NotComparable as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(scratch)
    print(table(found))
    if args.rounds < ENOUGH_ROUNDS:
        print(f"fewer than {ENOUGH_ROUNDS} rounds: to look at only")
    if args.results is not None:
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps(as_json(checkouts, found), indent=1) + "\n")
    verdicts = [one.verdict() for one in found.values()]
    if not all(verdict.no_loss for verdict in verdicts):
        return 1
    return 3 if any(verdict.unclear for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
