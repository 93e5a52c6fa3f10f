"""The verb ``run``: a job file on an engine of its own, shown to a person."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ....daemon.engine.engine import Engine
from ....daemon.runs.run import JobRun, Summary, Watcher
from ....shared.errors import BlockmillError
from ....shared.jobs.job import Job, load_job, told_with_place
from ...formatting import exit_codes as exitcodes
from ...formatting.document import document
from ...formatting.interrupt import Interrupt
from ...formatting.progress import Display, display_for
from ...formatting.wording import counted

if TYPE_CHECKING:
    from ....daemon.planning.plan import Plan

_MOST_REASONS_SHOWN = 10


def run_job_file(path: str, *, overwrite: bool, workers: int | None, quiet: bool, as_json: bool) -> int:
    """Run the job file at `path`; the exit code of the command."""
    display = display_for(sys.stdout, quiet or as_json or sys.stdout is None)
    with Interrupt() as interrupt:
        try:
            job = load_job(path, standard_input() if path == "-" else None)
            summary = _run(job, workers, overwrite, display, interrupt)
        except KeyboardInterrupt:
            display.stop()
            again = "the same command" if path == "-" else f"blockmill run {path}"
            print(f"interrupted; finished blocks are kept. To go on: {again}", file=sys.stderr)
            return exitcodes.INTERRUPTED
        except BlockmillError as error:
            display.stop()
            print(f"blockmill: {told_with_place(path, str(error))}", file=sys.stderr)
            return exitcodes.exit_code_of(error)
    if as_json:
        print(document(**asdict(summary)))
    elif not quiet:
        _print_summary(summary)
    return _report_failures(summary)


def standard_input() -> str:
    """What comes in there; nothing where the shell has closed it."""
    return sys.stdin.read() if sys.stdin is not None else ""


def _run(job: Job, workers: int | None, overwrite: bool, display: Display, interrupt: Interrupt) -> Summary:
    """Plan and run; the workers come up while the job is planned."""
    count = workers or job.workers or len(os.sched_getaffinity(0))
    with Engine(count, preload=job.operation.preload, fork=True) as engine:

        def planned(plan: Plan, done: bytes) -> None:
            display.start(len(plan.grid), sum(done))

        watcher = Watcher(
            planned=planned,
            progress=display.update,
            notice=lambda notice: display.note(str(notice)),
            interrupted=interrupt.came,
        )
        summary = JobRun(job, count, overwrite=overwrite, watcher=watcher).execute(engine)
    display.stop()
    return summary


def _print_summary(summary: Summary) -> None:
    rate = summary.bytes_written / 1e6 / max(summary.seconds, 1e-9)
    found = f" ({summary.skipped} found finished)" if summary.skipped else ""
    of = "" if summary.outcome == "done" else f"{summary.finished} of "
    print(
        f"{summary.outcome.replace('_', ' ')}: {of}{counted(summary.blocks, 'block')}{found}, "
        f"{summary.voxels} voxels, {summary.seconds:.1f} s, {rate:.1f} MB/s "
        f"-> {os.path.relpath(summary.output)}"
    )


def _report_failures(summary: Summary) -> int:
    """Each reason once, with the blocks that it befell."""
    by_reason: dict[str, list[str]] = {}
    for place, reason in summary.failures:
        by_reason.setdefault(reason, []).append(place)
    for reason, places in list(by_reason.items())[:_MOST_REASONS_SHOWN]:
        more = f" and {counted(len(places) - 1, 'more block')}" if len(places) > 1 else ""
        print(f"{places[0]}{more}: {reason}", file=sys.stderr)
    if (more := len(by_reason) - _MOST_REASONS_SHOWN) > 0:
        print(f"and {more} more reasons; --json tells all", file=sys.stderr)
    return 0 if summary.outcome == "done" else exitcodes.FAILED
