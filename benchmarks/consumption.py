"""What programs take: seconds, processor seconds of a whole tree of processes, memory."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY_S = 0.01
_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass(frozen=True, slots=True)
class Consumed:
    """What a command and all its descendants took; `peak_bytes` is 0 where nobody watched."""

    took_s: float
    cpu_s: float
    peak_bytes: int


def consumed_by(command: list[str], *, watched: bool = False) -> Consumed:
    """Run a command to its end.

    Parameters
    ----------
    command : list of str
    watched : bool
        Look every 10 ms at the sum of the proportional set sizes of its processes.

    Raises
    ------
    RuntimeError
        If it does not end with 0.
    """
    _take_in_orphans()
    before_s, start_s = _of_the_reaped_s(), time.perf_counter()
    # No time-out where nobody watches: with one, subprocess looks every 50 ms.
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak_bytes = _watch(process) if watched else 0
    code = process.wait()
    took_s = time.perf_counter() - start_s
    _reap_all()
    if code:
        raise RuntimeError(f"{command} ended with {code}")
    return Consumed(took_s, _of_the_reaped_s() - before_s, peak_bytes)


def _take_in_orphans() -> None:
    """Descendants whose parent has ended become children of this process, so that their time counts."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _reap_all() -> None:
    """Wait for the descendants that outlive the command, as its workers may for a moment."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _of_the_reaped_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(process: psutil.Popen) -> int:
    peak_bytes = 0
    while process.poll() is None:
        peak_bytes = max(peak_bytes, _held_bytes(process))
        try:
            process.wait(_EVERY_S)
        except psutil.TimeoutExpired:
            continue
    return peak_bytes


def _held_bytes(process: psutil.Process) -> int:
    total = 0
    for one in _family(process):
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # has ended, or is about to
            continue
    return total


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_of_tree_s() -> float:
    """Processor seconds of this process and of all its descendants, so far."""
    total = 0.0
    for one in _family(psutil.Process()):
        try:
            total += sum(one.cpu_times()[:4])  # user, system, and those of the children it has reaped
        except psutil.NoSuchProcess:
            continue
    return total


def peak_of_this_bytes() -> int:
    """The most that this process held. Not by getrusage: that is inherited from who started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
