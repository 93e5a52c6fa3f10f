"""The number of workers that may be busy with the available memory.

`MemoryGovernor` decides and is pure; `available_bytes` and `total_bytes` ask the system, and the
control group of this process if that allows less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import psutil

_RESERVE_SHARE = 0.05
_LEAST_RESERVE_BYTES = 256 << 20
_CALM_S = 1.0
_FORGETTING = 0.95
_LEAST_NEED_BYTES = 32 << 20
_CGROUP = Path("/sys/fs/cgroup")


def reserve_bytes(total_bytes: int) -> int:
    """Memory for the rest of the machine: 5 %, at least 256 MiB."""
    return max(int(total_bytes * _RESERVE_SHARE), _LEAST_RESERVE_BYTES)


class MemoryGovernor:
    """Adapts the number of busy workers to the free memory.

    The number falls at once, by as many workers as must end to free the missing memory. It rises by one at
    a time, once there is room for as much memory as the largest worker took recently.

    Parameters
    ----------
    budget_bytes : int or None
        Memory limit of all workers together, in bytes; None: the memory of the machine.
    """

    def __init__(self, budget_bytes: int | None = None) -> None:
        self.budget_bytes = budget_bytes
        self._allowed: int | None = None
        self._count = 0
        self._need_bytes = float(_LEAST_NEED_BYTES)
        self._changed_s = -math.inf

    def allowed(
        self,
        now_s: float,
        *,
        available_bytes: int,
        total_bytes: int,
        busy_rss_bytes: Mapping[int, int],
        count: int,
    ) -> int:
        """The number of workers, of `count`, that may be busy; at least 1.

        Parameters
        ----------
        now_s : float
            Time of a monotonic clock.
        available_bytes, total_bytes : int
            Memory of the machine.
        busy_rss_bytes : mapping of int to int
            Resident memory of each busy worker.
        count : int
            Number of workers.

        Returns
        -------
        int
        """
        unrestricted = self._allowed is None or self._allowed >= self._count
        allowed = count if self._allowed is None else min(self._allowed, count)
        self._learn(busy_rss_bytes)
        room = available_bytes - reserve_bytes(total_bytes)
        if self.budget_bytes is not None:
            room = min(room, self.budget_bytes - sum(busy_rss_bytes.values()))
        if room < 0:
            remaining = len(busy_rss_bytes) - math.ceil(-room / self._need_bytes)
            reduced = max(1, min(allowed, remaining))
            if reduced < allowed:
                self._changed_s = now_s
            allowed = reduced
        elif unrestricted:
            allowed = count  # memory was no limit so far: there are more workers now
        elif allowed < count and room >= self._need_bytes and now_s - self._changed_s >= _CALM_S:
            allowed += 1
            self._changed_s = now_s
        self._allowed, self._count = allowed, count
        return allowed

    def _learn(self, busy_rss_bytes: Mapping[int, int]) -> None:
        largest = max(busy_rss_bytes.values(), default=0)
        self._need_bytes = max(largest, self._need_bytes * _FORGETTING, _LEAST_NEED_BYTES)

    def emergency(
        self, *, available_bytes: int, total_bytes: int, busy_rss_bytes: Mapping[int, int]
    ) -> int | None:
        """The worker to kill at once: the largest, if half of the reserve is gone and others are busy too.

        Parameters
        ----------
        available_bytes, total_bytes : int
            Memory of the machine.
        busy_rss_bytes : mapping of int to int
            Resident memory of each busy worker.

        Returns
        -------
        int or None
            The worker's number; None if no worker needs to end.
        """
        if available_bytes >= reserve_bytes(total_bytes) // 2 or len(busy_rss_bytes) < 2:
            return None
        return max(busy_rss_bytes, key=lambda worker: busy_rss_bytes[worker])


def total_bytes() -> int:
    """Memory of the machine, or of the control group if that is less."""
    limit = _cgroup_number("memory.max")
    total = psutil.virtual_memory().total
    return total if limit is None else min(total, limit)


def available_bytes() -> int:
    """Memory that can be taken without swapping."""
    available = psutil.virtual_memory().available
    limit, used = _cgroup_number("memory.max"), _cgroup_number("memory.current")
    if limit is None or used is None:
        return available
    return min(available, limit - used + _cgroup_file_bytes())


def oom_kills() -> int:
    """Number of processes that the kernel has killed for want of memory: in our control group, or at all."""
    for text in (_cgroup_text("memory.events"), _text(Path("/proc/vmstat"))):
        for line in (text or "").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _cgroup_file_bytes() -> int:
    """Page cache in the control group, which goes when memory is asked for."""
    for line in (_cgroup_text("memory.stat") or "").splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def _cgroup_number(name: str) -> int | None:
    text = (_cgroup_text(name) or "").strip()
    return int(text) if text.isdigit() else None


def _cgroup_text(name: str) -> str | None:
    own = _text(Path("/proc/self/cgroup")) or ""
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::")), None)
    return None if path is None else _text(_CGROUP / path.lstrip("/") / name)


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
