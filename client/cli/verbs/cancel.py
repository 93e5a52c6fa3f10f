"""``blockmill cancel``: the end of jobs, now."""

from __future__ import annotations

import click

from ...formatting.tables import say_jobs
from .. import options
from ..groups import JOBS, verb


@verb(JOBS)
@options.numbers("active")
@click.option("--now", is_flag=True, help="Kill running blocks, without the 0.7 s in which they may tidy up.")
@click.option("--no-wait", "wait", flag_value=False, default=True, help="Don't wait for the end.")
@options.as_json
@options.socket
def command(numbers: tuple[int, ...], now: bool, wait: bool, as_json: bool, socket: str | None) -> int:
    """End jobs now; finished blocks stay valid."""
    with options.client(socket) as service:
        infos = [service.cancel(number, now=now) for number in numbers]
        if wait:
            infos = [service.wait(number) for number in numbers]
    say_jobs(infos, as_json)
    return 0
