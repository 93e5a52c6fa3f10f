"""Options and arguments that several verbs share, and the client that ``--socket`` stands for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..service.client import Client

Fitting = Literal["all", "active", "retryable"]
"""Which jobs a verb can do something with."""

socket = click.option(
    "--socket", metavar="PATH", help="Socket of the service; default: $BLOCKMILL_SOCKET, or your own service."
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
as_jsonl = click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a job.")
watch = click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
everything = click.option("--all", "everything", is_flag=True, help="All jobs, also those to come.")
FILE = click.Path(readable=False)
"""Shells complete it; whoever reads the file says what is wrong with it."""


def client(socket: str | None) -> Client:
    """The client of the service that ``--socket`` names."""
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


def job_numbers(fitting: Fitting) -> Callable[..., list[CompletionItem]]:
    """Shell completion of the numbers of such jobs."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from .job_numbers import job_numbers

        return job_numbers(context, incomplete, fitting)

    return complete


def number(fitting: Fitting = "all") -> Callable[[Any], Any]:
    """The number of one job."""
    return click.argument("number", metavar="ID", type=int, shell_complete=job_numbers(fitting))


def numbers(fitting: Fitting = "all", *, required: bool = True) -> Callable[[Any], Any]:
    """The numbers of several jobs."""
    metavar = "ID..." if required else "[ID...]"
    complete = job_numbers(fitting)
    return click.argument(
        "numbers", metavar=metavar, type=int, nargs=-1, required=required, shell_complete=complete
    )


def check_chosen(numbers: tuple[int, ...], everything: bool) -> None:
    """Refuse a verb that was given neither jobs nor ``--all``, or both."""
    if bool(numbers) == everything:
        raise click.UsageError("name jobs by their numbers, or give --all")
