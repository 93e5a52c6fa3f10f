"""Options and arguments that several verbs share, and the client for ``--socket``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..service.client import Client

JobFilter = Literal["all", "active", "retryable"]
"""Jobs to which a verb applies."""

socket = click.option(
    "--socket", metavar="PATH", help="Socket of the service; default: $BLOCKMILL_SOCKET, or your own service."
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
as_jsonl = click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a job.")
watch = click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
everything = click.option("--all", "everything", is_flag=True, help="All jobs, also those to come.")
FILE = click.Path(readable=False)
"""Shells complete it; the reader of the file reports if it can't be read."""


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


def job_numbers(job_filter: JobFilter) -> Callable[..., list[CompletionItem]]:
    """Make the shell completion of job numbers."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from .job_numbers import job_numbers

        return job_numbers(context, incomplete, job_filter)

    return complete


def number(job_filter: JobFilter = "all") -> Callable[[Any], Any]:
    """Make the argument for the number of one job."""
    return click.argument("number", metavar="ID", type=int, shell_complete=job_numbers(job_filter))


def numbers(job_filter: JobFilter = "all", *, required: bool = True) -> Callable[[Any], Any]:
    """Make the argument for the numbers of several jobs.

    Parameters
    ----------
    job_filter : {"all", "active", "retryable"}
        Numbers that shells complete.
    required : bool
        At least one number must be given.

    Returns
    -------
    callable
        The decorator of the verb's function.
    """
    metavar = "ID..." if required else "[ID...]"
    complete = job_numbers(job_filter)
    return click.argument(
        "numbers", metavar=metavar, type=int, nargs=-1, required=required, shell_complete=complete
    )


def check_selection(numbers: tuple[int, ...], everything: bool) -> None:
    """Check that a verb was given either jobs or ``--all``.

    Parameters
    ----------
    numbers : tuple of int
    everything : bool
        ``--all`` was given.

    Raises
    ------
    click.UsageError
        If both or neither were given.
    """
    if bool(numbers) == everything:
        raise click.UsageError("name jobs by their numbers, or give --all")
