"""``blockmill drain``: running blocks end, no more are started."""

from __future__ import annotations

import click

from ...formatting.output import say, say_json
from ...formatting.tables import service_text
from .. import options
from ..groups import SERVICE, verb


@verb(SERVICE, short_help="Let running blocks end and start no more.")
@click.option("--wait", is_flag=True, help="Wait until nothing runs.")
@options.as_json
@options.socket
def command(wait: bool, as_json: bool, socket: str | None) -> int:
    """Let running blocks end and start no more, until `resume --all`."""
    with options.client(socket) as service:
        info = service.drain(wait=wait)
    if as_json:
        say_json(service=info)
    else:
        say(service_text(info))
    return 0
