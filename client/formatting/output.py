"""What all verbs share: errors become exit codes, jobs become JSON or lines of a table."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...shared.errors import BlockmillError
from ...shared.messages.records import JobInfo
from ..service.client import Client
from . import exit_codes as exitcodes
from .document import document

_STYLES = {"done": "32", "running": "36", "failed": "31", "done with failures": "31", "cancelled": "33"}


def verb(function: Callable[..., int]) -> Callable[..., int]:
    """Turn the errors of a verb into messages and exit codes."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> int:
        try:
            return function(*args, **options)
        except BlockmillError as error:
            complain(f"blockmill: {error}")
            return exitcodes.exit_code_of(error)
        except KeyboardInterrupt:
            complain("interrupted; the job, if there is one, goes on")
            return exitcodes.INTERRUPTED
        except BrokenPipeError:  # whoever read our output has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 0

    return run


def client(socket: str | None) -> Client:
    """The client of the service that the options name."""
    return Client(socket)


def complain(text: str) -> None:
    """A line on stderr: stdout is for data."""
    print(text, file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line on stdout."""
    print(text, flush=True)


def say_json(**content: Any) -> None:
    """One JSON document."""
    say(document(**content))


def say_jobs(jobs: Iterable[JobInfo], as_json: bool) -> None:
    """Jobs as a document, or as a table."""
    jobs = list(jobs)
    if as_json:
        say_json(jobs=jobs)
    elif jobs:
        print_table(JOB_HEAD, [job_row(info) for info in jobs])


JOB_HEAD = ("ID", "STATE", "BLOCKS", "LEFT", "NAME", "SINCE", "")


def job_row(info: JobInfo) -> tuple[str, ...]:
    """A job as a line of a table."""
    since_s = info.ended_s or info.started_s or info.submitted_s
    note = info.reason.partition("\n")[0] if info.state not in ("done", "running") else ""
    if info.label:
        note = f"[{info.label}] {note}"
    left = "" if info.eta_s is None or info.ended else duration(info.eta_s)
    return str(info.id), state_of(info), blocks_of(info), left, info.name, ago(since_s), note


def state_of(info: JobInfo) -> str:
    """The state in words."""
    paused = " (paused)" if info.paused and not info.ended else ""
    return info.state.replace("_", " ") + paused


def blocks_of(info: JobInfo) -> str:
    """Blocks finished of all, and those given up."""
    if info.blocks is None:
        return "-"
    failed = f" ({info.failed} failed)" if info.failed else ""
    return f"{info.done}/{info.blocks}{failed}"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns; the last one is as long as it is, cut where the terminal ends."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
    most = os.get_terminal_size().columns if sys.stdout.isatty() else 1 << 16
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        line = "  ".join((*cells, row[-1])).rstrip()[:most]
        say(_coloured(line, row[1]) if row is not head else line)


def _coloured(line: str, state: str) -> str:
    code = _STYLES.get(state)
    return f"\x1b[{code}m{line}\x1b[0m" if code and use_colour() else line


def use_colour() -> bool:
    """Whether stdout takes colours: asked for, or a terminal without NO_COLOR."""
    wanted = os.environ.get("BLOCKMILL_COLOR", "auto")
    if wanted != "auto":
        return wanted == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def ago(time_s: float) -> str:
    """How long ago that was, in one unit."""
    return f"{duration(max(time.time() - time_s, 0.0))} ago"


def duration(seconds: float) -> str:
    """A time span in the unit that fits."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}"
    return f"{count:.0f} B"


def result_code(info: JobInfo) -> int:
    """What `wait` and its like end with for this job."""
    return 0 if info.state == "done" else exitcodes.FAILED


def tell_end(info: JobInfo) -> None:
    """How a job ended, with what to do next, on stderr where it did not go well."""
    if info.state == "done":
        return
    why = f": {info.reason}" if info.reason else ""
    complain(f"job {info.id} ({info.name}) {state_of(info)}{why}")
    if info.failed:
        complain(f"see `blockmill status {info.id}`; try again: `blockmill retry {info.id}`")
