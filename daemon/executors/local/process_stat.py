"""Memory and processor time of a process that may become another user's."""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

_PAGE_BYTES = resource.getpagesize()
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MOST_BYTES = 4096


class ProcessFacts(NamedTuple):
    """Processor time used, in seconds, and resident memory, in bytes."""

    used_s: float
    rss_bytes: int


class ProcessStat:
    """The statistics that the kernel has of a process.

    Its file in ``/proc`` stays open: a system may hide the processes of other users from us
    (``hidepid=``, ``ProtectProc=`` in units), also one that was ours when it began.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1  # it has ended already; the nursery will report that

    def read(self) -> ProcessFacts | None:
        """The facts at this moment; None if the process has ended."""
        if self._fd < 0:
            return None
        try:
            text = os.pread(self._fd, _MOST_BYTES, 0)
        except ProcessLookupError:
            return None
        fields = text[text.rindex(b")") + 2 :].split()  # the name in brackets may have blanks
        return ProcessFacts((int(fields[11]) + int(fields[12])) / _TICKS_PER_S, int(fields[21]) * _PAGE_BYTES)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def facts_of(pid: int) -> ProcessFacts | None:
    """The facts about a process at this moment; None if it has ended."""
    stat = ProcessStat(pid)
    try:
        return stat.read()
    finally:
        stat.close()


def processor_time_s(pid: int) -> float:
    """Processor time that a process has used, in seconds; -2 if it has ended meanwhile."""
    facts = facts_of(pid)
    return -2.0 if facts is None else facts.used_s
