"""``blockmill workers``: the worker processes, and how many there are."""

from __future__ import annotations

import click

from ....shared.units import format_count
from ...formatting.output import say, say_json
from ...formatting.tables import say_workers
from .. import options
from ..groups import SERVICE, group


@group(SERVICE, invoke_without_command=True)
@options.socket
@options.as_json
@click.pass_context
def command(context: click.Context, socket: str | None, as_json: bool) -> int:
    """List the worker processes, or set their number."""
    if context.invoked_subcommand is not None:
        return 0
    with options.client(socket) as service:
        workers = service.workers()
    if as_json:
        say_json(workers=workers)
    else:
        say_workers(workers)
    return 0


@command.command("set")
@click.argument("count", type=click.IntRange(min=1))
@options.as_json
@options.socket
def set_workers(count: int, as_json: bool, socket: str | None) -> int:
    """Have so many workers; those too many end between blocks."""
    with options.client(socket) as service:
        info = service.set_workers(count)
    if as_json:
        say_json(service=info)
    else:
        say(format_count(info.workers, "worker"))
    return 0
