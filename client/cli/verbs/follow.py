"""The verbs that follow a job: a live bar, its log."""

from __future__ import annotations

import sys
import time

from ....daemon.engine.handle import Progress
from ....shared.errors import JobError
from ....shared.messages.records import JobInfo, LogLine
from ....shared.messages.service import ReadLog
from ...formatting import exit_codes as exitcodes
from ...formatting.output import (
    blocks_of,
    client,
    complain,
    duration,
    result_code,
    say,
    say_json,
    tell_end,
    verb,
)
from ...formatting.progress import Display, display_for
from ...service.client import Client


@verb
def watch(number: int, *, socket: str | None, as_json: bool, as_jsonl: bool) -> int:
    """Follow a job until it has ended; the exit code tells how."""
    with client(socket) as service:
        if as_jsonl:
            return _watch_as_data(service, number)
        info = watch_job(service, number, quiet=as_json)
    if as_json:
        say_json(job=info)
    return code_of_watch(info)


def _watch_as_data(service: Client, number: int) -> int:
    code = 0
    for info in service.watch(number):
        say_json(job=info)
        code = result_code(info)
    return code


def watch_job(service: Client, number: int, *, with_log: bool = False, quiet: bool = False) -> JobInfo:
    """Show a job's progress, and its log where asked for; how it was last.

    `quiet`: nothing goes to stdout, which is for data then.
    """
    display = display_for(sys.stdout, quiet)
    shown = _Shown(display)
    offset, last = 0, service.job(number)
    try:
        for last in service.watch(number):
            if with_log:
                offset = _show_log(service, number, offset, display)
            shown.update(last)
    except KeyboardInterrupt:
        display.stop()
        complain(f"job {number} goes on; `blockmill watch {number}` comes back to it")
        return last
    display.stop()
    if last.state == "done" and not quiet:
        say(f"done: {blocks_of(last)} blocks in {duration(last.seconds)} -> {last.output}")
    if last.ended:
        tell_end(last)
    return last


def code_of_watch(info: JobInfo) -> int:
    """What a verb ends with that has watched a job; one that has not ended was left by Ctrl-C."""
    return result_code(info) if info.ended else exitcodes.INTERRUPTED


def _show_log(service: Client, number: int, offset: int, display: Display) -> int:
    """Show all lines from `offset` on; where the next one will begin."""
    while (part := service.ask(ReadLog(id=number, offset=offset))).lines:
        for line in part.lines:
            display.note(log_text(line))
        offset = part.next_offset
    return part.next_offset


class _Shown:
    """Brings what the service says of a job to a display made for runs."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._before: int | None = None

    def update(self, info: JobInfo) -> None:
        """Show this."""
        if info.blocks is None:
            return
        if self._before is None:
            self._before = info.done
            self._display.start(info.blocks, info.done)
        self._display.update(Progress(blocks=info.done - self._before, bytes_written=info.bytes_written))


@verb
def logs(
    number: int,
    *,
    socket: str | None,
    follow: bool,
    block: str | None,
    worker: int | None,
    as_json: bool,
    as_jsonl: bool,
) -> int:
    """Print the log of a job, or the part of it that is about a block or a worker."""
    start = _corner(block)

    def wanted(line: LogLine) -> bool:
        return (start is None or line.block == start) and (worker is None or line.worker == worker)

    with client(socket) as service:
        lines = (line for line in service.logs(number, follow=follow) if wanted(line))
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
        return tuple(int(part) for part in block.strip("[]() ").split(","))
    except ValueError:
        raise JobError(f"--block {block}: give the first corner of the block, such as 0,64,128") from None


def log_text(line: LogLine) -> str:
    """A line of a log for people: time, worker, block, text."""
    when = time.strftime("%H:%M:%S", time.localtime(line.time_s))
    about = [] if line.worker is None else [f"worker {line.worker}"]
    if line.block is not None and line.kind == "printed":
        about.append(f"block {','.join(map(str, line.block))}")
    return f"{when} {', '.join(about)}{': ' if about else ''}{line.text}"
