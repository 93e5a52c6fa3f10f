"""The lock of a block file."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

from blockmill import FileLock
from harness import Bench

_SECTION_S = 0.001
_PROCESSES = 8


def uncontended(bench: Bench) -> None:
    """Lock: acquire and release that nobody contends."""
    import portalocker

    count = 300 if bench.quick else 2000
    path = bench.scratch / "uncontended"

    def file_lock() -> float:
        lock = FileLock(path)
        start_s = time.perf_counter()
        for _ in range(count):
            lock.acquire()
            lock.release()
        return (time.perf_counter() - start_s) / count

    def portalocker_lock() -> float:
        start_s = time.perf_counter()
        for _ in range(count):
            with portalocker.Lock(f"{path}.p"):
                pass
        return (time.perf_counter() - start_s) / count

    bench.race({"ours": file_lock, "portalocker.Lock": portalocker_lock})
    bench.note("ours makes and removes a lock file that tells its owner; portalocker's file stays")
    bench.at_most(60, "us", 1e6, "acquire + release")


def contended(bench: Bench) -> None:
    """Lock: 8 processes contend for sections of 1 ms, per section."""
    sections = 10 if bench.quick else 50
    contenders = {
        "sleep alone": lambda: _sleep_alone(sections * _PROCESSES),
        "ours": lambda: _contend(_file_lock_sections, bench.scratch / "ours", sections),
    }
    if not bench.quick:
        count = 5
        contenders["portalocker.Lock"] = lambda: _contend(
            _portalocker_sections, bench.scratch / "theirs", count
        )
        bench.note(f"portalocker.Lock with its defaults, {count} sections a process")
    bench.race(contenders)
    bench.note(f"{_PROCESSES} processes, {sections} sections each; the wall time divided by all sections")
    bench.within("sleep alone", 1.3, "the section")


def _sleep_alone(count: int) -> float:
    start_s = time.perf_counter()
    for _ in range(count):
        time.sleep(_SECTION_S)
    return (time.perf_counter() - start_s) / count


def _contend(sections: Any, path: Path, count: int) -> float:
    context = multiprocessing.get_context("fork")
    gate, end = context.Barrier(_PROCESSES + 1), context.Barrier(_PROCESSES + 1)
    processes = [
        context.Process(target=_contender, args=(sections, path, count, gate, end)) for _ in range(_PROCESSES)
    ]
    for process in processes:
        process.start()
    gate.wait(60)
    start_s = time.perf_counter()
    end.wait(120)
    duration_s = time.perf_counter() - start_s
    for process in processes:
        process.join()
    return duration_s / (count * _PROCESSES)


def _contender(sections: Any, path: Path, count: int, gate: Any, end: Any) -> None:
    gate.wait(60)
    sections(path, count)
    end.wait(120)


def _file_lock_sections(path: Path, count: int) -> None:
    lock = FileLock(path)
    for _ in range(count):
        lock.acquire()
        time.sleep(_SECTION_S)
        lock.release()


def _portalocker_sections(path: Path, count: int) -> None:
    import portalocker

    for _ in range(count):
        with portalocker.Lock(f"{path}.p", timeout=60):
            time.sleep(_SECTION_S)
