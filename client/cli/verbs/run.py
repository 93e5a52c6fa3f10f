"""``blockmill run``: a job file on an engine of its own, shown to a person."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ....shared.errors import BlockmillError
from ....shared.system.compute_threads import have_one_compute_thread
from ....shared.units import format_count, format_duration, format_rate
from ...formatting.exit_codes import FAILED, INTERRUPTED
from ...formatting.interrupt import Interrupt
from ...formatting.output import StdoutFailed, complain, say, say_json
from ...formatting.progress import Display, display_for
from .. import options
from ..groups import JOBS, verb

if TYPE_CHECKING:
    from ....daemon.engine.handle import Notice
    from ....daemon.planning.plan import Plan
    from ....daemon.runs.reports import Summary
    from ....shared.jobs.job import Job

_MAX_REASONS = 10


@verb(JOBS)
@click.argument("job_file", metavar="JOB.yaml", type=options.FILE)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option(
    "--keep-finished", is_flag=True, help="Keep what is finished, though your code has changed since."
)
@click.option("--dry-run", is_flag=True, help="Say what it would take, and do nothing.")
@click.option(
    "-w", "--workers", type=click.IntRange(min=1), help="Worker processes; default: all processors."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary; errors only.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object on stdout.")
def command(
    job_file: str,
    overwrite: bool,
    keep_finished: bool,
    dry_run: bool,
    workers: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run a job file here and now ("-" reads it from stdin).

    Run it again after an interruption and it goes on where it stopped: finished blocks
    are checked by size and checksum and left alone.
    """
    have_one_compute_thread()
    if dry_run:
        from ..dry_run import say_estimate

        return say_estimate(job_file, workers=workers, as_json=as_json, overwrite=overwrite)
    from ..job_files import complain_of, read_job

    replacing = {"overwrite": overwrite, "keep_finished": keep_finished}
    display = display_for(sys.stdout, quiet or as_json)
    with Interrupt() as interrupt:
        try:
            summary = _run(read_job(job_file), workers, replacing, display, interrupt)
        except KeyboardInterrupt:
            display.stop()
            again = "the same command" if job_file == "-" else f"blockmill run {shlex.quote(job_file)}"
            complain(f"interrupted; finished blocks are kept. To go on: {again}")
            return INTERRUPTED
        except BlockmillError as error:
            display.stop()
            return complain_of(job_file, error)
    if as_json:
        say_json(**asdict(summary))
    elif not quiet:
        with contextlib.suppress(StdoutFailed):  # the output is there, and that is what counts
            _say_summary(summary)
    return _complain_of_failures(summary)


def _run(
    job: Job, workers: int | None, replacing: dict[str, bool], display: Display, interrupt: Interrupt
) -> Summary:
    """Plan and run; the workers start while the job is planned."""
    from ....daemon.engine.engine import Engine
    from ....daemon.runs.reports import Watcher
    from ....daemon.runs.run import JobRun

    processors = len(os.sched_getaffinity(0))
    count = workers or job.workers or processors
    # How many blocks there are is not known yet.
    with Engine(min(count, processors), preload=job.operation.preload, fork=True) as engine:

        def planned(plan: Plan, done: bytes) -> None:
            display.start(len(plan.grid), sum(done))
            engine.set_workers(max(1, min(count, len(plan.grid) - sum(done))))

        watcher = Watcher(
            planned=planned,
            progress=lambda now: display.update(now.blocks, now.bytes_written),
            notice=lambda notice: _show(notice, job, display),
            interrupted=interrupt.came,
        )
        summary = JobRun(
            job,
            count,
            overwrite=replacing["overwrite"],
            keep_finished=replacing["keep_finished"],
            watcher=watcher,
        ).execute(engine)
    display.stop()
    return summary


def _show(notice: Notice, job: Job, display: Display) -> None:
    """Show a notice, unless the job ends with that failure, which is told at its end then."""
    if notice.kind != "failed" or job.on_error == "finish":
        display.note(str(notice))


def _say_summary(summary: Summary) -> None:
    skipped = f" ({summary.skipped} found finished)" if summary.skipped else ""
    of = "" if summary.outcome == "done" else f"{summary.finished} of "
    say(
        f"{summary.outcome.replace('_', ' ')}: {of}{format_count(summary.blocks, 'block')}{skipped}, "
        f"{summary.voxels} voxels, {format_duration(summary.seconds)}, "
        f"{format_rate(summary.bytes_written, summary.seconds)} -> {os.path.relpath(summary.output)}"
    )
    if summary.note:
        say(summary.note)


def _complain_of_failures(summary: Summary) -> int:
    """Print each reason once, with its blocks; return the exit code of the run."""
    by_reason: dict[str, list[str]] = {}
    for block, reason in summary.failures:
        by_reason.setdefault(reason, []).append(block)
    for reason, blocks in list(by_reason.items())[:_MAX_REASONS]:
        more = f" and {format_count(len(blocks) - 1, 'more block')}" if len(blocks) > 1 else ""
        complain(f"{blocks[0]}{more}: {reason}")
    if (more := len(by_reason) - _MAX_REASONS) > 0:
        complain(f"and {format_count(more, 'more reason')}; --json tells all")
    return 0 if summary.outcome == "done" else FAILED
