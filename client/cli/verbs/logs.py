"""``blockmill logs``: the log of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ....shared.errors import JobError
from ...formatting.output import say, say_json
from .. import options
from ..groups import JOBS, verb
from ..watching import log_text

if TYPE_CHECKING:
    from ....shared.messages.records import LogLine


@verb(JOBS)
@options.number()
@click.option("-f", "--follow", is_flag=True, help="Until the job has ended.")
@click.option("--block", metavar="z,y,x", help="Only what is about the block with this first corner.")
@click.option("--worker", type=int, help="Only what is about this worker.")
@click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a line.")
@options.as_json
@options.socket
def command(
    number: int,
    follow: bool,
    block: str | None,
    worker: int | None,
    as_jsonl: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """What has happened to a job, and what its operation printed."""
    start = _corner(block)

    def matches(line: LogLine) -> bool:
        return (start is None or line.block == start) and (worker is None or line.worker == worker)

    with options.client(socket) as service:
        lines = (line for line in service.logs(number, follow=follow) if matches(line))
        if as_json:
            say_json(lines=list(lines))
            return 0
        for line in lines:
            if as_jsonl:
                say_json(line=line)
            else:
                say(log_text(line))
    return 0


def _corner(block: str | None) -> tuple[int, ...] | None:
    if block is None:
        return None
    try:
        return tuple(int(index) for index in block.strip("[]() ").split(","))
    except ValueError:
        raise JobError(f"--block {block}: give the first corner of the block, such as 0,64,128") from None
