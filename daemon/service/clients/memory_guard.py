"""Detects that clients fill the service's memory.

libzmq bounds a frame, and the messages that wait, but not the frames of a message that has no end:
they pile up in memory before the service receives any of them, and their sender is unknown. The only
visible sign is that the process grows; the remedy is to end the connections, which frees them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

ALLOWED_BYTES = 256 << 20
_EVERY_S = 0.1
_SETTLE_S = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def own_bytes() -> int:
    """Resident memory of this process that is neither a file's nor shared."""
    resident, shared = Path("/proc/self/statm").read_bytes().split()[1:3]
    return (int(resident) - int(shared)) * _PAGE_BYTES


class MemoryGuard:
    """Detects that this process has grown by more than is allowed since it was smallest.

    Parameters
    ----------
    allowed_bytes : int
    measure : callable
        Returns the bytes to watch.
    """

    def __init__(self, allowed_bytes: int = ALLOWED_BYTES, measure: Callable[[], int] = own_bytes) -> None:
        self._allowed_bytes = allowed_bytes
        self._measure = measure
        self._least_bytes: int | None = None
        self._next_s = 0.0

    def exceeded(self, now_s: float) -> int | None:
        """Growth in bytes if that is too much, else None; after a report, growth counts from zero again."""
        if now_s < self._next_s:
            return None
        self._next_s = now_s + _EVERY_S
        if self._least_bytes is None:
            give_back()
        resident_bytes = self._measure()
        if self._least_bytes is None or resident_bytes < self._least_bytes:
            self._least_bytes = resident_bytes
        growth_bytes = resident_bytes - self._least_bytes
        if growth_bytes <= self._allowed_bytes:
            return None
        # Memory that a job needs permanently must not be reported twice: measure again once it has settled.
        self._least_bytes, self._next_s = None, now_s + _SETTLE_S
        return growth_bytes


def give_back() -> None:
    """Have the allocator return free memory to the system, if it can (glibc)."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
