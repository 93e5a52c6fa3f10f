"""Destination of the service's own messages: systemd's journal with fields, else stderr.

Messages about a job, a block or a worker carry their numbers: give them in `about`.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

JOURNAL = "/run/systemd/journal/socket"
_MOST_BYTES = 48 * 1024
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def about(job: int | None = None, block: tuple[int, ...] = (), worker: int | None = None) -> dict[str, Any]:
    """The ``extra=`` of a message that is about a job, a block or a worker.

    Parameters
    ----------
    job, worker : int, optional
        Their numbers.
    block : tuple of int
        First corner of the block.

    Returns
    -------
    dict
    """
    return {
        "job": None if job is None else str(job),
        "block": ",".join(map(str, block)) or None,
        "worker": None if worker is None else str(worker),
    }


class JournalHandler(logging.Handler):
    """Sends records to systemd's journal, with JOB_ID, BLOCK and WORKER (systemd.journal-fields(7))."""

    def __init__(self, address: str = JOURNAL) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.connect(address)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            self._socket.send(entry(self.format(record), record))
        except OSError:
            self.handleError(record)


def entry(text: str, record: logging.LogRecord) -> bytes:
    """A record in the protocol of systemd's journal; a text that is too long for it is cut.

    Parameters
    ----------
    text : str
        The formatted message.
    record : logging.LogRecord

    Returns
    -------
    bytes
    """
    priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
    fields = {
        "MESSAGE": text.encode(errors="replace")[:_MOST_BYTES].decode(errors="ignore"),
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "blockmill",
        "LOGGER": record.name,
        "JOB_ID": getattr(record, "job", None),
        "BLOCK": getattr(record, "block", None),
        "WORKER": getattr(record, "worker", None),
    }
    return b"".join(_field(name, value) for name, value in fields.items() if value is not None)


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")
    if b"\n" in data:
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return f"{name}=".encode() + data + b"\n"


class RecordLimit(logging.Filter):
    """Lets few warnings and errors of one kind through in a period, so that no client can fill the log.

    A kind is the text of a message before its arguments are put in.

    Parameters
    ----------
    most : int
    period_s : float
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(
        self, most: int = 20, period_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._most, self._period_s, self._clock = most, period_s, clock
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], tuple[float, int]] = {}  # begin of the period, and messages in it

    def filter(self, record: logging.LogRecord) -> bool:
        """Test if a record may pass."""
        if record.levelno < logging.WARNING:
            return True
        kind = record.name, str(record.msg)
        with self._lock:
            begun_s, count = self._counts.get(kind, (self._clock(), 0))
            self._counts[kind] = begun_s, count + 1
        return count < self._most

    def left_out(self) -> list[tuple[str, int]]:
        """Kinds of messages whose period is over, and how many of each were left out; to be called often."""
        before_s = self._clock() - self._period_s
        with self._lock:
            over = [kind for kind, (begun_s, _) in self._counts.items() if begun_s <= before_s]
            counts = [(kind[1], self._counts.pop(kind)[1] - self._most) for kind in over]
        return [(text, count) for text, count in counts if count > 0]


LIMIT = RecordLimit()
"""That of this process."""


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        job = getattr(record, "job", None)
        text = super().format(record)
        return text if job is None else text.replace(record.message, f"job {job}: {record.message}", 1)


def begin_logging() -> None:
    """Send the messages of this process to systemd's journal if stderr leads there, else to stderr."""
    handler: logging.Handler = logging.StreamHandler()
    handler.setFormatter(_Plain("%(asctime)s %(levelname)s %(message)s"))
    if _stderr_is_the_journal():
        handler = JournalHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(LIMIT)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _stderr_is_the_journal() -> bool:
    """Test if stderr is systemd's journal: $JOURNAL_STREAM names the device and inode of its connection."""
    stat = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}" and Path(JOURNAL).exists()
