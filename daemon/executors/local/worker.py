"""Facts about one worker process, its limits, and the way to hand files to it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ....shared.memory.task_counters import TaskCounters
from ....shared.messages.engine import MapSegment
from ....shared.system.descriptors import send_file
from ....shared.units import format_duration, format_size
from ..api import WorkerLimits
from .process_stat import ProcessFacts, ProcessStat, facts_of
from .worker_log import LogReader


@dataclass(slots=True)
class WorkerProcess:
    """The supervisor's facts about one worker."""

    number: int
    log_path: Path
    counters: TaskCounters
    files: socket.socket | None  # to the worker, for descriptors
    seen_s: float
    started_s: float
    pid: int = 0
    uid: int | None = None  # the user that it becomes for good, if it does
    up: bool = False
    tasks: int = 0
    cpu_s: float = -1.0
    rss_bytes: int = 0
    first_rss_bytes: int = 0
    limit_bytes: int | None = None
    kill_at_s: float | None = None
    reason: str = ""
    out_of_memory: bool = False
    retiring: bool = False  # it gets nothing new
    retired: bool = False  # it was told to end
    log: LogReader = field(init=False)
    _stat: ProcessStat | None = None  # that of a process of somebody else

    def __post_init__(self) -> None:
        self.log = LogReader(self.number, self.log_path)

    def is_up(self, pid: int) -> None:
        """Note that it is ready, and so has opened what it was told to."""
        self.up, self.pid = True, pid  # the nursery may tell of the pid a moment later
        self.counters.close_file()

    def becomes(self, uid: int) -> None:
        """Note the user that it is told to become: from then on the system may hide it from us."""
        if self.uid is None:
            self.uid = self.log.uid = uid
            self._stat = ProcessStat(self.pid)

    def hand_over(self, segment: MapSegment) -> MapSegment:
        """Send the descriptor of a shared memory, if the worker may not open it by its path.

        Parameters
        ----------
        segment : MapSegment
            With a path.

        Returns
        -------
        MapSegment
            The message for the worker.

        Raises
        ------
        OSError
            If the worker does not take in what it was sent.
        """
        if self.uid is None or self.files is None or segment.path is None:
            return segment
        fd = os.open(segment.path, os.O_RDWR)
        try:
            send_file(self.files, b"m", fd)
        finally:
            os.close(fd)
        return msgspec.structs.replace(segment, path=None)

    def close(self) -> None:
        """Give everything back that was held for it."""
        self.counters.close()
        if self.files is not None:
            self.files.close()
        if self._stat is not None:
            self._stat.close()

    def _facts(self) -> ProcessFacts | None:
        """What the system has of it; None if it has ended, which the nursery will report."""
        return facts_of(self.pid) if self._stat is None else self._stat.read()

    @property
    def at_work(self) -> bool:
        """True if it is up, and is not to end."""
        return self.up and not self.retiring and self.kill_at_s is None

    def needs_recycling(self, limits: WorkerLimits, now_s: float) -> str | None:
        """Reason to recycle this worker; `health` checks the task count.

        Parameters
        ----------
        limits : WorkerLimits
        now_s : float

        Returns
        -------
        str or None
            Its age or the growth of its memory, in words; None if it may stay.
        """
        if limits.recycle_age_s is not None and now_s - self.started_s >= limits.recycle_age_s:
            return f"is {format_duration(now_s - self.started_s)} old"
        growth = self.rss_bytes - self.first_rss_bytes if self.first_rss_bytes else 0
        if limits.recycle_growth_bytes is not None and growth >= limits.recycle_growth_bytes:
            return f"has grown by {format_size(growth)}"
        return None

    def poll_memory(self) -> None:
        """Ask the system for its resident memory."""
        if (facts := self._facts()) is None:
            return
        self.rss_bytes = facts.rss_bytes
        if self.tasks and not self.first_rss_bytes:
            self.first_rss_bytes = self.rss_bytes

    def used_s(self) -> float:
        """Processor time that it has used, in seconds; -2 if it has ended meanwhile."""
        facts = self._facts()
        return -2.0 if facts is None else facts.used_s
