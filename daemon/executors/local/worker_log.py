"""The output of a worker, by tasks.

All output of a worker, of the code in it and of the processes that it starts goes to one file. After a
task that printed something the worker adds a trailer line, which names the task: the lines before it
are the task's. Lines without a trailer belong to the task that runs.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from ....shared.messages.engine import Lease
from ....shared.messages.log_trailers import TRAILER, trailer_lease
from ....shared.outside_text import decoded

_TAIL_BYTES = 1 << 16
_MOST_BYTES = 8 << 20
_MOST_LINE_BYTES = 1 << 14
_TAIL_LINES = 8
_MOST_TAIL_LINE = 1000
_FREE_EVERY_BYTES = 8 << 20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line that a worker printed.

    Attributes
    ----------
    worker : int
    text : str
    lease : Lease or None
        Lease of its task, if a trailer names it.
    running : int or None
        Else the number of the task that ran, counted from 1 in order of sending; None: no task ran.
    uid : int or None
        The user that the worker has become, if it has.
    """

    worker: int
    text: str
    lease: Lease | None = None
    running: int | None = None
    uid: int | None = None


class LogReader:
    """Reads the file of one worker as it grows.

    Parameters
    ----------
    worker : int
    path : Path

    Attributes
    ----------
    uid : int or None
        The user that the worker becomes.
    """

    def __init__(self, worker: int, path: Path) -> None:
        self.uid: int | None = None
        self._worker = worker
        self._path = path
        self._offset_bytes = self._freed_bytes = 0
        self._partial_line = b""  # a line that has no end yet
        self._unattributed: list[bytes] = []  # lines without a trailer

    def read(self, *, last: bool = False) -> list[OutputLine]:
        """The lines that got a trailer since the last call.

        `last` means that the worker has ended: an unfinished line then counts as a line.
        """
        *lines, self._partial_line = (self._partial_line + self._more()).split(b"\n")
        if (last or len(self._partial_line) > _MOST_LINE_BYTES) and self._partial_line:
            lines.append(self._partial_line)
            self._partial_line = b""
        printed: list[OutputLine] = []
        for line in lines:
            text, separator, trailer = line.rpartition(TRAILER)
            lease = trailer_lease(trailer) if separator else None
            if lease is None:
                self._unattributed.append(line)
                continue
            if text:
                self._unattributed.append(text)
            printed += self._attribute(lease=lease)
        return printed

    def take_unattributed(self, running: int | None) -> list[OutputLine]:
        """Lines not yet attributed by a trailer, attributed to task `running`."""
        return self._attribute(running=running)

    def _attribute(self, lease: Lease | None = None, running: int | None = None) -> list[OutputLine]:
        lines, self._unattributed = self._unattributed, []
        return [
            OutputLine(self._worker, decoded(line, _MOST_LINE_BYTES), lease, running, self.uid)
            for line in lines
        ]

    def _more(self) -> bytes:
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset_bytes)
                data = log.read(_MOST_BYTES)
        except FileNotFoundError:
            return b""
        self._offset_bytes += len(data)
        if self._offset_bytes - self._freed_bytes > _FREE_EVERY_BYTES:
            self._freed_bytes = self._offset_bytes - _TAIL_BYTES  # the post-mortem wants the end
            _free(self._path, self._freed_bytes)
        return data


def _free(path: Path, end: int) -> None:
    """Free the disk space of a file's first `end` bytes; offsets in it stay (fallocate(2))."""
    with path.open("r+b") as log:
        # Where the file system can't do it, the file goes on growing until its worker ends.
        _libc.fallocate(log.fileno(), _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(end))


def tail(path: Path) -> str:
    """The last lines of a worker's file, for people."""
    try:
        with path.open("rb") as log:
            log.seek(max(log.seek(0, 2) - _TAIL_BYTES, 0))
            lines = log.read().split(b"\n")
    except FileNotFoundError:
        return ""
    texts = [line.partition(TRAILER)[0] for line in lines]
    last = [line for line in texts if line.strip()][-_TAIL_LINES:]
    return "\n".join(decoded(line, _MOST_TAIL_LINE) for line in last)
