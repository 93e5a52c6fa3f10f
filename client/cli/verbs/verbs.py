"""The verbs of the service on the command line: their options, and where each is carried out.

What a verb needs is imported when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

_STATES = ("queued", "running", "cancelling", "done", "done_with_failures", "failed", "cancelled")

_socket = click.option(
    "--socket", metavar="PATH", help="Socket of the service; default: $BLOCKMILL_SOCKET, or your own service."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_jsonl = click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a job.")
_watch = click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")


def _job_numbers(context: click.Context, parameter: click.Parameter, incomplete: str) -> Any:
    from .. import completions_of_jobs as completing

    return completing.job_numbers(context, incomplete)


_some = click.argument("numbers", metavar="[ID...]", type=int, nargs=-1, shell_complete=_job_numbers)
_numbers = click.argument(
    "numbers", metavar="ID...", type=int, nargs=-1, required=True, shell_complete=_job_numbers
)
_number = click.argument("number", metavar="ID", type=int, shell_complete=_job_numbers)
_file = click.Path(readable=False)  # shells complete it; what is wrong with it is told by who reads it
_all = click.option("--all", "everything", is_flag=True, help="All jobs, also those to come.")
_color = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    expose_value=False,
    callback=lambda context, option, value: _set_color(value),
    help="Colours; auto: on a terminal, without NO_COLOR.",
)


def _set_color(value: str | None) -> None:
    import os

    if value is not None:
        os.environ["BLOCKMILL_COLOR"] = value


def _verb(*decorators: Callable[[Any], Any], name: str | None = None) -> Callable[[Any], click.Command]:
    """A command with these options and that of the socket."""

    def make(function: Any) -> click.Command:
        for decorator in reversed((*decorators, _socket)):
            function = decorator(function)
        return click.command(name)(function)

    return make


def _chosen(numbers: tuple[int, ...], everything: bool) -> tuple[int, ...]:
    if bool(numbers) == everything:
        raise click.UsageError("name jobs by their numbers, or give --all")
    return numbers


@_verb(
    click.argument("job_files", metavar="JOB.yaml...", nargs=-1, required=True, type=_file),
    click.option("--wait", is_flag=True, help="Wait for the end; the exit code tells how the job ended."),
    click.option("--follow", is_flag=True, help="Show progress and log until the end."),
    click.option(
        "--after",
        multiple=True,
        metavar="ID|NAME",
        help="A job that must be done before.",
        shell_complete=_job_numbers,
    ),
    click.option("--priority", type=int, help="Higher goes first; default: as in the file, or 0."),
    click.option("--label", help="To find jobs of a kind."),
    click.option("--overwrite", is_flag=True, help="Replace the output if it exists."),
    click.option("--no-check", "check", flag_value=False, default=True, help="Don't open the input first."),
    click.option("--dry-run", is_flag=True, help="Say what it would take, and submit nothing."),
    click.option("--id-only", is_flag=True, help="Print the number alone."),
    _json,
)
def submit(job_files: tuple[str, ...], dry_run: bool, **options: Any) -> None:
    """Hand job files to the service ("-" reads one from stdin)."""
    if dry_run:
        from .dry_run import dry_run as estimate

        as_json, overwrite = options["as_json"], options["overwrite"]
        codes = [estimate(f, workers=None, as_json=as_json, overwrite=overwrite) for f in job_files]
        sys.exit(max(codes))
    from . import jobs

    sys.exit(jobs.submit(job_files, **options))


@_verb(
    click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Only these."),
    click.option("--label", help="Only these."),
    click.option("-a", "--all", "everything", is_flag=True, help="All that are known."),
    click.option("--limit", default=20, show_default=True, help="At most so many ended ones."),
    _watch,
    _jsonl,
    _json,
    _color,
)
def ls(**options: Any) -> None:
    """List jobs, active ones first."""
    from . import look

    sys.exit(look.ls(**options))


@_verb(_some, _watch, _jsonl, _json, _color)
def status(numbers: tuple[int, ...], **options: Any) -> None:
    """All about some jobs; without a number: the service and its active jobs."""
    from . import look

    sys.exit(look.status(numbers, **options))


@_verb(_number, click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a change."), _json)
def watch(number: int, **options: Any) -> None:
    """Follow a job, live; Ctrl-C leaves it running."""
    from . import follow

    sys.exit(follow.watch(number, **options))


@_verb(
    _numbers,
    click.option(
        "--timeout", "timeout_s", type=click.FloatRange(0), help="Seconds for all of them; then exit code 7."
    ),
    _jsonl,
    _json,
)
def wait(numbers: tuple[int, ...], **options: Any) -> None:
    """Wait until jobs have ended; exit code 0 if all are done."""
    from . import jobs

    sys.exit(jobs.wait(numbers, **options))


@_verb(
    _number,
    click.option("-f", "--follow", is_flag=True, help="Until the job has ended."),
    click.option("--block", metavar="z,y,x", help="Only what is about the block with this first corner."),
    click.option("--worker", type=int, help="Only what is about this worker."),
    click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a line."),
    _json,
)
def logs(number: int, **options: Any) -> None:
    """What has happened to a job, and what its operation printed."""
    from . import follow

    sys.exit(follow.logs(number, **options))


@_verb(
    _numbers,
    click.option(
        "--now", is_flag=True, help="Kill running blocks, without the 0.7 s in which they may tidy up."
    ),
    click.option("--no-wait", "wait", flag_value=False, default=True, help="Don't wait for the end."),
    _json,
)
def cancel(numbers: tuple[int, ...], **options: Any) -> None:
    """End jobs now; finished blocks stay valid."""
    from . import jobs

    sys.exit(jobs.cancel(numbers, **options))


@_verb(
    _numbers,
    click.option(
        "--failed", "failed_only", is_flag=True, help="The failed blocks alone, not those never begun."
    ),
    click.option("--wait", is_flag=True, help="Wait for the end."),
    _json,
)
def retry(numbers: tuple[int, ...], **options: Any) -> None:
    """Queue ended jobs again, for the blocks that are not finished."""
    from . import jobs

    sys.exit(jobs.retry(numbers, **options))


@_verb(_some, _all, _json)
def pause(numbers: tuple[int, ...], everything: bool, **options: Any) -> None:
    """Start no more blocks; those that run go on."""
    from . import jobs

    sys.exit(jobs.pause(_chosen(numbers, everything), paused=True, **options))


@_verb(_some, _all, _json)
def resume(numbers: tuple[int, ...], everything: bool, **options: Any) -> None:
    """Undo pause; with --all also drain."""
    from . import jobs

    sys.exit(jobs.pause(_chosen(numbers, everything), paused=False, **options))


@_verb(click.option("--wait", is_flag=True, help="Wait until nothing runs."), _json)
def drain(**options: Any) -> None:
    """Let running blocks end and start no more, until `resume --all`."""
    from . import look

    sys.exit(look.drain(**options))


@click.group(invoke_without_command=True)
@_socket
@_json
@click.pass_context
def workers(context: click.Context, **options: Any) -> None:
    """List the worker processes, or set their number."""
    if context.invoked_subcommand is None:
        from . import look

        sys.exit(look.workers(**options))


@_verb(click.argument("count", type=click.IntRange(min=1)), _json, name="set")
def set_workers(count: int, **options: Any) -> None:
    """Have so many workers; those too many end between blocks."""
    from . import look

    sys.exit(look.set_workers(count, **options))


@_verb(_number, click.argument("priority", type=int), _json)
def priority(number: int, priority: int, **options: Any) -> None:
    """Let a job go before (higher) or after others."""
    from . import jobs

    sys.exit(jobs.set_priority(number, priority, **options))


@_verb(
    click.option("--once", is_flag=True, help="Once, and out."),
    click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a second, until Ctrl-C."),
    _json,
    _color,
)
def top(**options: Any) -> None:
    """Workers and active jobs, live."""
    from . import look

    sys.exit(look.top(**options))


@_verb(_json)
def version(**options: Any) -> None:
    """The version of this command and of the service."""
    from . import look

    sys.exit(look.version(**options))


@_verb(
    click.option("--state-dir", metavar="DIR", help="For journal and logs; default: your state folder."),
    click.option(
        "-w", "--workers", type=click.IntRange(1, 1024), help="Worker processes; default: all processors."
    ),
    click.option("--memory", metavar="SIZE", help="What all workers together may take, such as 24GiB."),
    click.option("--worker-memory", metavar="SIZE", help="What one may take; it is killed beyond."),
    click.option("--recycle-tasks", type=click.IntRange(1), help="Replace a worker after so many blocks."),
    click.option("--recycle-age", type=float, metavar="SECONDS", help="Replace a worker of this age."),
    click.option("--recycle-growth", metavar="SIZE", help="Replace a worker that has grown by so much."),
    click.option("--history-days", type=float, help="Keep ended jobs so long; default: 30."),
    click.option("--system", is_flag=True, help="Be the machine's: touch only what access.data_roots names."),
    click.option(
        "-c",
        "--config",
        metavar="FILE",
        type=_file,
        help="Read this file instead of those in the usual places.",
    ),
)
def serve(**options: Any) -> None:
    """Run the service; SIGTERM or Ctrl-C lets running blocks end first."""
    from . import serve as serving

    sys.exit(serving.serve(**options))


def register(group: click.Group) -> None:
    """Add all verbs of the service to the command."""
    workers.add_command(set_workers)
    for command in (submit, ls, status, watch, wait, logs, cancel, retry, pause, resume, drain, workers):
        group.add_command(command)
    for command in (priority, top, version, serve):
        group.add_command(command)
