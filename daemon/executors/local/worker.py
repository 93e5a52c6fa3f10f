"""Facts about one worker process, and its limits."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ....shared.units import format_duration, format_size
from ..api import WorkerLimits
from .worker_log import LogReader

_PAGE_BYTES = resource.getpagesize()


@dataclass(slots=True)
class WorkerProcess:
    """The supervisor's facts about one worker."""

    number: int
    log_path: Path
    counters_index: int
    seen_s: float
    started_s: float
    pid: int = 0
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

    def __post_init__(self) -> None:
        self.log = LogReader(self.number, self.log_path)

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
        try:
            resident = int(Path(f"/proc/{self.pid}/statm").read_bytes().split()[1])
        except (OSError, IndexError):
            return  # it ended meanwhile; the nursery will report that
        self.rss_bytes = resident * _PAGE_BYTES
        if self.tasks and not self.first_rss_bytes:
            self.first_rss_bytes = self.rss_bytes

    def used_s(self) -> float:
        """Processor time that it has used, in seconds."""
        return processor_time_s(self.pid)


def processor_time_s(pid: int) -> float:
    """Processor time that a process has used, in seconds; -2 if it has ended meanwhile."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return -2.0
    return times.user + times.system
