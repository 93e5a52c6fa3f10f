"""One job on an engine of its own, shown to a person; what ``run`` and ``apply`` have in common."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ...shared.errors import BlockmillError
from ...shared.units import format_count, format_duration, format_rate
from ..formatting.exit_codes import FAILED, INTERRUPTED
from ..formatting.interrupt import Interrupt
from ..formatting.output import StdoutFailed, complain, say, say_json
from ..formatting.progress import Display, display_for
from .job_files import complain_of

if TYPE_CHECKING:
    from ...daemon.engine.handle import Notice
    from ...daemon.runs.reports import Summary
    from ...shared.jobs.staged import AnyJob
    from ...shared.operations.reducer import Table

_MAX_REASONS = 10


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of ``run`` and ``apply``, as `options.running` gives them to a verb."""

    overwrite: bool
    keep_finished: bool
    dry_run: bool
    workers: int | None
    quiet: bool
    as_json: bool


def run_job(job: AnyJob, path: str, options: RunOptions, again: str) -> int:
    """Run a job, or say what it would take.

    Parameters
    ----------
    job : Job or StagedJob
    path : str
        Of its file, for messages; "-" if it has none.
    options : RunOptions
    again : str
        The command that goes on after an interruption.

    Returns
    -------
    int
        Exit code.
    """
    if options.dry_run:
        from .dry_run import say_estimate

        return say_estimate(
            job, path, workers=options.workers, as_json=options.as_json, overwrite=options.overwrite
        )
    display = display_for(sys.stdout, options.quiet or options.as_json)
    with Interrupt() as interrupt:
        try:
            summary = _run(job, options, display, interrupt)
        except KeyboardInterrupt:
            display.stop()
            complain(f"interrupted; finished blocks are kept. To go on: {again}")
            return INTERRUPTED
        except BlockmillError as error:
            display.stop()
            return complain_of(path, error)
    if options.as_json:
        say_json(**asdict(summary))
    elif not options.quiet:
        with contextlib.suppress(StdoutFailed):  # the output is there, and that is what counts
            _say_summary(summary)
    return _complain_of_failures(summary)


def _run(job: AnyJob, options: RunOptions, display: Display, interrupt: Interrupt) -> Summary:
    """Plan and run; the workers start while the job is planned."""
    from ...daemon.engine.engine import Engine
    from ...daemon.runs.reports import Watcher
    from ...daemon.runs.staged_run import run_of

    processors = len(os.sched_getaffinity(0))
    count = options.workers or job.workers or processors
    # How many blocks there are is not known yet.
    with Engine(min(count, processors), preload=job.preloads, fork=True) as engine:

        def planned(blocks: int, finished: int) -> None:
            display.start(blocks, finished)
            engine.set_workers(max(1, min(count, blocks - finished)))

        watcher = Watcher(
            planned=planned,
            progress=lambda now: display.update(now.blocks, now.bytes_written or now.bytes_read),
            notice=lambda notice: _show(notice, job, display),
            interrupted=interrupt.came,
        )
        summary = run_of(
            job,
            count,
            overwrite=options.overwrite,
            keep_finished=options.keep_finished,
            watcher=watcher,
        ).execute(engine)
    display.stop()
    return summary


def _show(notice: Notice, job: AnyJob, display: Display) -> None:
    """Show a notice, unless the job ends with that failure, which is told at its end then."""
    if notice.kind != "failed" or job.on_error == "finish":
        text = str(notice)
        if notice.kind in ("retry", "failed"):  # in full at the end, if the block fails for good
            text = text.partition("\n")[0].removesuffix("; its last lines:")
        display.note(text)


def _say_summary(summary: Summary) -> None:
    skipped = f" ({summary.skipped} found finished)" if summary.skipped else ""
    is_table = summary.table is not None  # its bytes say nothing
    rate = "" if is_table else f"{format_rate(summary.bytes_written, summary.seconds)} "
    of = "" if summary.outcome == "done" else f"{summary.finished} of "
    say(
        f"{summary.outcome.replace('_', ' ')}: {of}{format_count(summary.blocks, 'block')}{skipped}, "
        f"{summary.voxels} voxels, {format_duration(summary.seconds)}{'' if is_table else ','} "
        f"{rate}-> {os.path.relpath(summary.output)}"
    )
    if summary.note:
        say(summary.note)
    for line in table_lines(summary.table or {}):
        say(line)


def table_lines(table: Table) -> Iterator[str]:
    """The single values of a table for people, a line each; lists are in its file."""
    single = {key: value for key, value in table.items() if not isinstance(value, dict | list)}
    width = max(map(len, single), default=0)
    for key, value in single.items():
        yield f"{key:{width}}  {'-' if value is None else value}"


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
