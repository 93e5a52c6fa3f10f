"""``blockmill logs``: the log of a job."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from ....shared.errors import JobError
from ...formatting.output import say, say_json
from .. import options
from ..groups import JOBS, verb
from ..watching import log_text

if TYPE_CHECKING:
    from ....shared.messages.records import LogLine
    from ...service.client import Client

_ERRORS = ("retry", "failed", "worker")
_BAD_ENDS = ("failed", "done with failures", "cancelled")
"""How a line begins that tells of the end of a job which is not done."""
_NEAR_END = -1
"""The offset that a log is read from where the last lines are enough."""


@verb(JOBS)
@options.job()
@click.option("-f", "--follow", is_flag=True, help="Until the job has ended.")
@click.option("-n", "--lines", "count", type=click.IntRange(0), help="The last ones only, so many.")
@click.option(
    "--since", metavar="TIME", help="Only what is younger: 10min, 2h, 3d; or 14:30, 2026-11-28T14:30."
)
@click.option("--errors", is_flag=True, help="Only failed attempts and blocks, news of workers, a bad end.")
@click.option("--block", metavar="z,y,x", help="Only what is about the block with this first corner.")
@click.option("--worker", type=int, help="Only what is about this worker.")
@click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a line.")
@options.as_json
@options.socket
def command(
    job: int | str,
    follow: bool,
    count: int | None,
    since: str | None,
    errors: bool,
    block: str | None,
    worker: int | None,
    as_jsonl: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """What has happened to a job, and what its operation printed."""
    from ..job_names import select_one

    matches = _filter(since, errors, block, worker)
    with options.client(socket) as service:
        lines = _lines(service, select_one(service, job), matches, count, follow=follow)
        if as_json:
            say_json(lines=list(lines))
            return 0
        for line in lines:
            if as_jsonl:
                say_json(line=line)
            else:
                say(log_text(line))
    return 0


def _filter(
    since: str | None, errors: bool, block: str | None, worker: int | None
) -> Callable[[LogLine], bool]:
    """A function that says whether a line was asked for."""
    from ..times import parse_since

    start, since_s = _corner(block), None if since is None else parse_since(since)

    def matches(line: LogLine) -> bool:
        return (
            (start is None or line.block == start)
            and (worker is None or line.worker == worker)
            and (since_s is None or line.time_s >= since_s)
            and (not errors or line.kind in _ERRORS or _is_bad_end(line))
        )

    return matches


def _is_bad_end(line: LogLine) -> bool:
    return line.kind == "job" and line.text.startswith(_BAD_ENDS)


def _lines(
    service: Client, number: int, matches: Callable[[LogLine], bool], count: int | None, *, follow: bool
) -> Iterator[LogLine]:
    """The lines of a log that were asked for."""
    offset = 0
    if count is not None:
        last, offset = _last_lines(service, number, matches, count)
        yield from last
        if not follow:
            return
    yield from filter(matches, service.logs(number, follow=follow, offset=offset))


def _last_lines(
    service: Client, number: int, matches: Callable[[LogLine], bool], count: int
) -> tuple[deque[LogLine], int]:
    """The last lines that were asked for, and the offset behind them; all is read only where it must be."""
    from ....shared.messages.service import ReadLog

    last: deque[LogLine] = deque(maxlen=count)
    offset = 0
    for begin in (_NEAR_END, 0):
        last.clear()
        offset = begin
        while (part := service.ask(ReadLog(id=number, offset=offset))).lines:
            last.extend(filter(matches, part.lines))
            offset = part.next_offset
        offset = part.next_offset
        if len(last) == count:
            break
    return last, offset


def _corner(block: str | None) -> tuple[int, ...] | None:
    if block is None:
        return None
    try:
        return tuple(int(index) for index in block.strip("[]() ").split(","))
    except ValueError:
        raise JobError(f"--block {block}: give the first corner of the block, such as 0,64,128") from None
