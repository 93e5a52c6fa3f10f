"""Options and arguments that several verbs share, and the client for ``--socket``."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..service.client import Client
    from ..service.references import JobFilter

socket = click.option(
    "--socket", metavar="PATH", help="Socket of the service; default: $BLOCKMILL_SOCKET, or your own service."
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
as_jsonl = click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a job.")
watch = click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
everything = click.option("--all", "everything", is_flag=True, help="All jobs, also those to come.")
label = click.option("--label", metavar="LABEL", help="All your jobs with this label.")
FILE = click.Path(readable=False)
"""Shells complete it; the reader of the file reports if it can't be read."""
job_files = click.argument("job_files", metavar="JOB.yaml...", nargs=-1, required=True, type=FILE)


def running(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options of a run to a verb, which gets them as its argument `run_options`."""

    @functools.wraps(function)
    def with_options(**arguments: Any) -> int:
        from ...shared.system.compute_threads import have_one_compute_thread

        have_one_compute_thread()  # before numpy is imported
        from .running import RunOptions

        names = RunOptions.__dataclass_fields__
        run_options = RunOptions(**{name: arguments.pop(name) for name in names})
        return function(**arguments, run_options=run_options)

    for option in reversed(_OF_A_RUN):
        option(with_options)
    return with_options


_OF_A_RUN = (
    click.option("--overwrite", is_flag=True, help="Replace the output if it exists."),
    click.option(
        "--keep-finished", is_flag=True, help="Keep what is finished, though your code has changed since."
    ),
    click.option("--dry-run", is_flag=True, help="Say what it would take, and do nothing."),
    click.option(
        "-w", "--workers", type=click.IntRange(min=1), help="Worker processes; default: all processors."
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress and no summary; errors only."),
    click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object on stdout."),
)


def client(socket: str | None) -> Client:
    """Make the client of the service that ``--socket`` names."""
    from ..service.client import Client

    return Client(socket)


def _set_color(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        os.environ["BLOCKMILL_COLOR"] = value


color = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    expose_value=False,
    callback=_set_color,
    help="Colours; auto: on a terminal, without NO_COLOR.",
)


class _Job(click.ParamType):
    """The number or the name of a job; digits alone are a number."""

    name = "job"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str | None:
        return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def complete_jobs(job_filter: JobFilter) -> Callable[..., list[CompletionItem]]:
    """Make the shell completion of numbers and names of jobs."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from .job_names import complete_jobs

        return complete_jobs(context, incomplete, job_filter)

    return complete


def job(job_filter: JobFilter = "all") -> Callable[[Any], Any]:
    """Make the argument for one job."""
    return click.argument("job", metavar="JOB", type=_Job(), shell_complete=complete_jobs(job_filter))


def jobs(job_filter: JobFilter = "all", *, required: bool = False) -> Callable[[Any], Any]:
    """Make the argument for several jobs.

    Parameters
    ----------
    job_filter : JobFilter
        Jobs that shells complete.
    required : bool
        At least one must be given.

    Returns
    -------
    callable
        The decorator of the verb's function.
    """
    metavar = "JOB..." if required else "[JOB...]"
    complete = complete_jobs(job_filter)
    return click.argument(
        "jobs", metavar=metavar, type=_Job(), nargs=-1, required=required, shell_complete=complete
    )
