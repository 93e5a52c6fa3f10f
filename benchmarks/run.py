"""Run the benchmarks: one case, or all of them one after another.

    python benchmarks/run.py [--case NAME] [--quick] [--rounds N] [--results FOLDER] [--list]

Each case is a process of its own with a time limit; what it finds is kept as JSON in the results' folder,
build/bench where nothing else is said. Caches are warm: every contender has a round that does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from cases import CASES, load
from folders import NEW_RESULTS
from harness import Bench, Figure
from scratch import empty_files

LIMIT_S = 900.0


def run_case(name: str, *, quick: bool, rounds: int, scratch: Path | None, keep: bool) -> dict[str, Any]:
    """Run one case in this process.

    Parameters
    ----------
    name : str
    quick : bool
        Small sizes.
    rounds : int
        Number of rounds that count.
    scratch : Path or None
        Folder for scratch files; None: the usual temporary folder.
    keep : bool
        Empty the scratch files instead of removing them.

    Returns
    -------
    dict
        All results, as plain JSON.
    """
    case = load(name)
    environment = machine.description()
    start_s = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=scratch))
    os.sync()
    bench = Bench(folder, quick, rounds)
    try:
        case(bench)
    finally:
        remove = empty_files if keep else shutil.rmtree
        remove(folder)
    title = (case.__doc__ or name).splitlines()[0].rstrip(".")
    seconds = round(time.perf_counter() - start_s, 1)
    return {
        "case": name,
        "title": title,
        "seconds": seconds,
        **bench.results(),
        "environment": environment,
    }


def show(result: dict[str, Any]) -> None:
    """Print a result for people."""
    load = result["environment"]["load"][0]
    print(f"\n{result['case']}: {result['title']} ({result['rounds']} rounds, load {load})")
    for name, figure in result["figures"].items():
        print(f"  {name:<34} {Figure(**figure)} {result['unit']}")
    for goal in result["goals"]:
        print(f"  {goal_line(goal)}")
    for note in result["notes"]:
        print(f"  note: {note}")


def goal_line(goal: dict[str, Any]) -> str:
    """Format a goal and its measured value as a line."""
    sign = ">=" if goal["at_least"] else "<="
    goal_text = f"{goal['ours']} / {goal['text']}: {sign} {goal['bound']:g} {goal['unit']}"
    if goal["measured"] is None:
        return f"?  {goal_text}: not measured"
    return f"{'ok' if goal['reached'] else 'NO'} {goal_text}: {Figure(**goal['measured'])}"


def _run_in_process(name: str, args: argparse.Namespace, scratch: str) -> bool:
    """Run one case in a process of its own; return True if it ended well."""
    command = [sys.executable, __file__, "--case", name, "--results", str(args.results)]
    command += ["--quick"] * args.quick
    command += ["--rounds", str(args.rounds)] if args.rounds else []
    command += ["--scratch", str(scratch), "--keep"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(LIMIT_S) == 0
    except subprocess.TimeoutExpired:
        print(f"{name}: not over after {LIMIT_S:g} s, ended", file=sys.stderr)
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> int:
    """Run the cases; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only this; repeatable")
    parser.add_argument("--quick", action="store_true", help="small sizes, 3 rounds: figures to look at only")
    parser.add_argument("--rounds", type=int, help="rounds that count; default: 5, or 3 with --quick")
    parser.add_argument("--results", type=Path, default=NEW_RESULTS, help="where the JSON goes")
    parser.add_argument("--scratch", type=Path, help="where scratch files go; on a disk, not in memory")
    parser.add_argument(
        "--keep", action="store_true", help="leave the scratch files, emptied; see scratch.py"
    )
    parser.add_argument("--list", action="store_true", help="name the cases")
    args = parser.parse_args()
    if args.list:
        print("\n".join(CASES))
        return 0
    names = args.case or list(CASES)
    if len(names) > 1:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=args.scratch) as scratch:
            failed = [name for name in names if not _run_in_process(name, args, scratch)]
        print(f"\nfailed: {', '.join(failed)}" if failed else "\nall cases came to their end")
        return 1 if failed else 0
    rounds = args.rounds or (3 if args.quick else 5)
    result = run_case(names[0], quick=args.quick, rounds=rounds, scratch=args.scratch, keep=args.keep)
    show(result)
    folder = args.results / "quick" if args.quick else args.results
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{names[0]}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    machine.restart_undisturbed()
    sys.exit(main())
