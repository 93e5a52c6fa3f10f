"""Measures what programs consume: seconds, processor seconds of a tree of processes, memory."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_POLL_S = 0.01
_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass(frozen=True, slots=True)
class Consumption:
    """The consumption of a command and all its descendants; `peak_bytes` is 0 if memory was not watched."""

    duration_s: float
    cpu_s: float
    peak_bytes: int


def consumption_of(command: list[str], *, watch_memory: bool = False) -> Consumption:
    """Run a command to its end.

    Parameters
    ----------
    command : list of str
    watch_memory : bool
        Sum the proportional set sizes of its processes every 10 ms.

    Returns
    -------
    Consumption

    Raises
    ------
    RuntimeError
        If it does not end with 0.
    """
    _adopt_orphans()
    before_s, start_s = _cpu_of_reaped_s(), time.perf_counter()
    # No time-out in `wait`: with one, subprocess polls every 50 ms.
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak_bytes = _peak_bytes(process) if watch_memory else 0
    code = process.wait()
    duration_s = time.perf_counter() - start_s
    _reap_all()
    if code:
        raise RuntimeError(f"{command} ended with {code}")
    return Consumption(duration_s, _cpu_of_reaped_s() - before_s, peak_bytes)


def _adopt_orphans() -> None:
    """Let descendants whose parent has ended become children of this process, so that their time counts."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _reap_all() -> None:
    """Wait for the descendants that outlive the command, as its workers may for a moment."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _cpu_of_reaped_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _peak_bytes(process: psutil.Popen) -> int:
    peak_bytes = 0
    while process.poll() is None:
        peak_bytes = max(peak_bytes, _pss_bytes(process))
        try:
            process.wait(_POLL_S)
        except psutil.TimeoutExpired:
            continue
    return peak_bytes


def _pss_bytes(process: psutil.Process) -> int:
    total = 0
    for one in _tree(process):
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # has ended, or is about to
            continue
    return total


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_of_tree_s() -> float:
    """Processor seconds of this process and of all its descendants, so far."""
    total = 0.0
    for one in _tree(psutil.Process()):
        try:
            total += sum(one.cpu_times()[:4])  # user, system, and those of the children it has reaped
        except psutil.NoSuchProcess:
            continue
    return total


def peak_of_this_bytes() -> int:
    """Peak memory of this process from /proc: that of getrusage is inherited from its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
