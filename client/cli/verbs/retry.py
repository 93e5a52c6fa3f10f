"""``blockmill retry``: ended jobs once more."""

from __future__ import annotations

import click

from ...formatting.tables import say_ends, say_jobs
from .. import options
from ..groups import JOBS, verb


@verb(JOBS, short_help="Queue ended jobs again, for what is not finished.")
@options.numbers("retryable")
@click.option("--failed", "failed_only", is_flag=True, help="The failed blocks alone, not those never begun.")
@click.option(
    "--keep-finished", is_flag=True, help="Keep what is finished, though your code has changed since."
)
@click.option("--wait", is_flag=True, help="Wait for the end.")
@options.as_json
@options.socket
def command(
    numbers: tuple[int, ...],
    failed_only: bool,
    keep_finished: bool,
    wait: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """Queue ended jobs again, for the blocks that are not finished."""
    with options.client(socket) as service:
        infos = [
            service.retry(number, failed_only=failed_only, keep_finished=keep_finished) for number in numbers
        ]
        if wait:
            return say_ends([service.wait(number) for number in numbers], as_json)
    say_jobs(infos, as_json)
    return 0
