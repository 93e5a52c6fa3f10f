"""`python -m chaos`: the seeds one after another, and the table of all."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from . import __doc__ as about
from .report import Report, never_hit, table
from .running import run_round
from .scene import Scene, command_of
from .service import Gone, Service, judge_log
from .serving import serve_round
from .striking import kill_all


def run_seed(seed: int, signals: int, options: argparse.Namespace) -> Report:
    """Rounds until so many signals are sent, or the time is over."""
    report, scene, start_s = Report(seed), Scene(seed), time.monotonic()
    before = set(os.listdir("/dev/shm"))
    service: Service | None = None
    try:
        while report.sent < signals and time.monotonic() - start_s < options.time:
            service = _round(scene, report, service, options.mode)
            told = f"seed {seed}: {report.sent} of {signals} signals, {report.jobs_done} jobs done"
            print(told, file=sys.stderr, flush=True)
    except Gone:
        service = None
    except BaseException:  # a signal to this process, or a fault of its own
        kill_all(scene)
        print(report.summary(time.monotonic() - start_s), table([report]), sep="\n")
        print(f"ended early; all files are in {scene.folder}", file=sys.stderr)
        raise
    report.ending = True
    if service is not None:
        service.stop()
    _judge_end(scene, report, before)
    print(report.summary(time.monotonic() - start_s), flush=True)
    if report.sent < signals:
        print(f"  only {report.sent} of {signals} signals in {options.time:g} s")
    if report.defects or options.keep:
        print(f"  all files are in {scene.folder}")
    else:
        shutil.rmtree(scene.folder)
    return report


def _round(scene: Scene, report: Report, service: Service | None, mode: str) -> Service | None:
    report.rounds += 1
    if mode == "both":
        mode = scene.rng.choice(["serve", "serve", "run"])
    if mode == "serve":
        service = service or Service(scene, report)
        serve_round(scene, report, service)
        return service
    if service is not None:  # its processes must not be hit by a signal to all
        service.stop()
    run_round(scene, report)
    return None


def _judge_end(scene: Scene, report: Report, shared_memory_before: set[str]) -> None:
    time.sleep(1)
    if alive := scene.processes():
        report.defect("processes left", [(pid, command_of(pid)) for pid in alive])
        kill_all(scene)
    if new := set(os.listdir("/dev/shm")) - shared_memory_before:
        report.notes[f"new in /dev/shm, maybe of others: {sorted(new)[:4]}"] += 1
    runtime = scene.runtime
    if left := [str(p.relative_to(runtime)) for p in runtime.rglob("*") if p.name != "blockmill"]:
        report.defect("left in the run-time folder", ", ".join(left[:6]))
    if left := [p.name for p in scene.folder.iterdir() if p.name.startswith(("blockmill-", "tmp"))]:
        report.defect("left in the temporary folder", ", ".join(left[:6]))
    judge_log(scene, report)


def shares(signals: int, seeds: int) -> list[int]:
    """So many signals, shared out to the seeds as evenly as can be."""
    return [signals // seeds + (place < signals % seeds) for place in range(seeds)]


def main() -> int:
    """Do what the command line asks for; 0: nothing lost, wrong or left, 3: too little hit to say so."""
    parser = argparse.ArgumentParser(
        prog="chaos", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", type=int, nargs="+", metavar="SEED")
    parser.add_argument("--signals", type=int, default=300, help="least number in all; default: 300")
    parser.add_argument("--time", type=float, default=1800, help="most seconds for each seed; default: 1800")
    parser.add_argument("--mode", choices=["both", "serve", "run"], default="both")
    parser.add_argument("--keep", action="store_true", help="keep the files of runs without defects, too")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # whatever ends this, its service must end with it
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    parts = zip(options.seeds, shares(options.signals, len(options.seeds)), strict=True)
    reports = [run_seed(seed, signals, options) for seed, signals in parts]
    print(table(reports))
    defects = sum(len(report.defects) for report in reports)
    print(f"{sum(report.sent for report in reports)} signals, {defects} defects")
    if options.json is not None:
        options.json.write_text(json.dumps([report.as_json() for report in reports], indent=1) + "\n")
    if missed := never_hit(reports):
        print(f"never hit, so nothing is known of: {', '.join(missed)}; send more signals")
    return 1 if defects else 3 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
