"""Checks of the machine and this account on it: limits, memory, environment variables."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator

import psutil

from ...daemon.executors.local.memory import available_bytes, oom_kills, total_bytes
from ...shared.config.model import Config
from ...shared.system.compute_threads import COMPUTE_THREADS
from ...shared.units import format_count, format_size
from .finding import Finding, fail, ok, warn

_FILES_BESIDE_CLIENTS = 256
_MIN_BYTES_PER_WORKER = 512 << 20
_OLDEST_CLOCK_S = 1_735_689_600.0  # 2025: files of a machine without a clock come before


def check_machine(config: Config) -> Iterator[Finding]:
    """Check that limits, memory and environment suffice for a service with this configuration."""
    yield from _check_limits(config)
    yield from _check_memory(config)
    yield _check_shared_memory()
    if time.time() < _OLDEST_CLOCK_S:
        yield fail("clock", f"it is {time.ctime()} here", "set the clock; ended jobs are kept by it")
    yield from _check_environment()


def _check_limits(config: Config) -> Iterator[Finding]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = config.limits.connections + _FILES_BESIDE_CLIENTS
    files = f"open files: {_limit(hard)}"
    if hard != resource.RLIM_INFINITY and hard < needed:
        yield warn(
            "limits",
            files,
            f"raise it to {needed} (ulimit -Hn, LimitNOFILE= of a unit) or lower limits.connections",
        )
    else:
        yield ok(
            "limits",
            f"{files}; locked memory: {_limit(resource.getrlimit(resource.RLIMIT_MEMLOCK)[1], bytes_=True)}",
        )
    for kind, name, flag in (
        (resource.RLIMIT_AS, "address space", "v"),
        (resource.RLIMIT_FSIZE, "file size", "f"),
    ):
        if (soft := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY:
            yield warn(
                "limits", f"{name} is limited to {format_size(soft)}", f"lift it: ulimit -{flag} unlimited"
            )


def _limit(value: int, *, bytes_: bool = False) -> str:
    if value == resource.RLIM_INFINITY:
        return "unlimited"
    return format_size(value) if bytes_ else str(value)


def _check_memory(config: Config) -> Iterator[Finding]:
    workers = config.workers.count or len(os.sched_getaffinity(0))
    total, free, swap = total_bytes(), available_bytes(), psutil.swap_memory()
    group = " (limit of the control group)" if total < psutil.virtual_memory().total else ""
    memory = f"{format_size(free)} of {format_size(total)}{group} available"
    text = f"{memory}, {format_count(workers, 'worker')}, swap {format_size(swap.total)}"
    if kills := oom_kills():
        text += f", {kills} processes killed for want of memory since the start"
    if total / workers < _MIN_BYTES_PER_WORKER or free < _MIN_BYTES_PER_WORKER:
        yield warn("memory", text, "have fewer workers (workers.count), or smaller blocks")
    else:
        yield ok("memory", text)


def _check_shared_memory() -> Finding:
    try:
        fd = os.memfd_create("blockmill-doctor", os.MFD_CLOEXEC)
        try:
            os.posix_fallocate(fd, 0, 1 << 20)
        finally:
            os.close(fd)
    except OSError as error:
        return fail(
            "shared memory", f"can't be made: {error.strerror}", "allow memfd_create in sandbox or container"
        )
    return ok("shared memory", "works")


def _check_environment() -> Iterator[Finding]:
    locking = os.environ.get("HDF5_USE_FILE_LOCKING")
    if locking is not None and locking.upper() in ("FALSE", "0"):
        text = f"HDF5_USE_FILE_LOCKING={locking}: HDF5 does not see whether others write a file that it opens"
        yield warn("environment", text, "unset it, unless the file system knows no locks")
    threads = [f"{name}={os.environ[name]}" for name in COMPUTE_THREADS if os.environ.get(name, "1") != "1"]
    if threads:
        text = f"{', '.join(threads)} counts in each worker; the workers themselves fill the machine"
        yield warn("environment", text, "unset it, unless there are few workers")
