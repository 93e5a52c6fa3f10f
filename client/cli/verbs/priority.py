"""``blockmill priority``: which job goes first."""

from __future__ import annotations

import click

from ...formatting.tables import say_jobs
from .. import options
from ..groups import JOBS, verb


@verb(JOBS)
@options.number("active")
@click.argument("priority", type=int)
@options.as_json
@options.socket
def command(number: int, priority: int, as_json: bool, socket: str | None) -> int:
    """Let a job go before (higher) or after others."""
    with options.client(socket) as service:
        say_jobs([service.set_priority(number, priority)], as_json)
    return 0
