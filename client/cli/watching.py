"""Live displays of several verbs: a job until it has ended, or anything until Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...shared.units import format_duration
from ..formatting.exit_codes import INTERRUPTED
from ..formatting.output import complain, on_terminal, say
from ..formatting.progress import Display, display_for
from ..formatting.tables import blocks_of, complain_of_end, result_code, waiting_text

if TYPE_CHECKING:
    from ...shared.messages.records import JobInfo, LogLine
    from ..service.client import Client

_REFRESH_S = 1.0


def repeat(show: Callable[[], None], live: bool) -> int:
    """Show something once, or every second until Ctrl-C.

    Parameters
    ----------
    show : callable
        Prints; a terminal is cleared before it.
    live : bool
        Repeat it until Ctrl-C.

    Returns
    -------
    int
        Exit code: that of Ctrl-C if it ended the repetition.
    """
    try:
        while live:
            if on_terminal():
                sys.stdout.write("\x1b[H\x1b[J")
            show()
            time.sleep(_REFRESH_S)
    except KeyboardInterrupt:
        return INTERRUPTED
    show()
    return 0


def watch_job(service: Client, number: int, *, with_log: bool = False, quiet: bool = False) -> JobInfo:
    """Show the progress of a job until it has ended or Ctrl-C comes.

    Parameters
    ----------
    service : Client
    number : int
        The job's number.
    with_log : bool
        Show its log, too.
    quiet : bool
        Print nothing on stdout, which is for data then.

    Returns
    -------
    JobInfo
        The last state that was shown.
    """
    display = display_for(sys.stdout, quiet)
    job_display = _JobDisplay(display)
    offset, last = 0, service.job(number)
    try:
        for last in service.watch(number):
            if with_log:
                offset = _show_log(service, number, offset, display)
            job_display.update(last)
    except KeyboardInterrupt:
        display.stop()
        complain(f"job {number} goes on; `blockmill watch {number}` comes back to it")
        return last
    display.stop()
    if last.state == "done" and not quiet:
        say(f"done: {blocks_of(last)} blocks in {format_duration(last.seconds)} -> {last.output}")
    if last.ended:
        complain_of_end(last)
    return last


def wait_for_end(service: Client, number: int) -> JobInfo:
    """Wait until a job has ended, and say on stderr what it waits for. Returns its last state."""
    told, info = "", service.job(number)
    for info in service.watch(number):
        if (text := waiting_text(info)) != told and text:
            complain(text)
        told = text
    return info


def watch_exit_code(info: JobInfo) -> int:
    """Return the exit code of a verb that has watched a job; Ctrl-C came if the job has not ended."""
    return result_code(info) if info.ended else INTERRUPTED


def _show_log(service: Client, number: int, offset: int, display: Display) -> int:
    """Show all lines from `offset` on; return the offset of the next one."""
    from ...shared.messages.service import ReadLog

    while (log_part := service.ask(ReadLog(id=number, offset=offset))).lines:
        for line in log_part.lines:
            display.note(log_text(line))
        offset = log_part.next_offset
    return log_part.next_offset


class _JobDisplay:
    """Shows the service's data about a job on a display for runs."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._done_before: int | None = None
        self._told = ""

    def update(self, info: JobInfo) -> None:
        """Show the current state."""
        if (text := waiting_text(info)) != self._told and text:
            self._display.note(text)
        self._told = text
        if info.blocks is None:
            return
        if self._done_before is None:
            self._done_before = info.done
            self._display.start(info.blocks, info.done)
        self._display.update(info.done - self._done_before, info.bytes_written)


def log_text(line: LogLine) -> str:
    """Format a line of a log for people: time (with the date if not of today), worker, block, text."""
    then, now = time.localtime(line.time_s), time.localtime()
    today = (then.tm_year, then.tm_yday) == (now.tm_year, now.tm_yday)
    when = time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)
    about = [] if line.worker is None else [f"worker {line.worker}"]
    if line.block is not None and line.kind == "printed":
        about.append(f"block {','.join(map(str, line.block))}")
    return f"{when} {', '.join(about)}{': ' if about else ''}{line.text}"
