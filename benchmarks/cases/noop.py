"""The cost of a block that does nothing."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import zmq

from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.journal.journal import Journal
from blockmill.daemon.service.runner import _JournalLog
from blockmill.shared.messages import engine as wire
from engine_jobs import noop_job, run_job
from harness import Bench
from peers import distributed, installed, nothing, pool, run_daisy, with_service

_DASK_TASKS = 1000
_WINDOW = 16


def noop(bench: Bench) -> None:
    """No-op block tasks with full bookkeeping, per task."""
    count = 1000 if bench.quick else 10_000
    with ExitStack() as stack:
        workers = stack.enter_context(pool(bench.cores))
        loop = stack.enter_context(BareLoop(bench.cores, bench.scratch))
        engine = stack.enter_context(Engine(bench.cores))
        journal = Journal(bench.scratch / "journal.db")
        stack.callback(journal.close)
        contenders: dict[str, Callable[[], float | None]] = {
            "ours": lambda: run_job(engine, noop_job(count, bench.scratch)),
            "ours, journal on": lambda: _run_with_journal(engine, journal, count, bench.scratch),
            "Pool, chunk 1": lambda: _drain(workers.imap_unordered(nothing, range(count))),
            "bare zmq loop": lambda: loop.run(count),
        }
        contenders = {name: per_task(run, count) for name, run in contenders.items()}
        if installed(bench, "daisy"):
            contenders["daisy 2"] = lambda: daisy_per_task(count, bench.cores)
        if installed(bench, "distributed"):
            tasks = min(count, _DASK_TASKS)
            run = with_service(partial(distributed, bench.cores), lambda client: _gather(client, tasks))
            contenders["dask"] = lambda: run() / tasks
            bench.note(f"dask: {tasks} tasks, submitted at once, per task")
        bench.race(contenders)
    bench.note("daisy 2: its whole run less one of two blocks in the same round, without its start")
    bench.note("journal on: until the last block is committed; no-op blocks write no files to sync")
    bench.at_most(20, "us", 1e6, "per task, journal off")
    bench.at_most(25, "us", 1e6, "per task, journal on", ours="ours, journal on")
    bench.faster("Pool, chunk 1", 1.2)
    bench.faster("daisy 2", 3)
    bench.faster("dask", 40)


def per_task(run: Callable[[], Any], count: int) -> Callable[[], float]:
    """Make a contender that runs `run` and returns seconds per task.

    Parameters
    ----------
    run : callable
    count : int
        Number of its tasks.

    Returns
    -------
    callable
    """

    def timed() -> float:
        start_s = time.perf_counter()
        run()
        return (time.perf_counter() - start_s) / count

    return timed


def _run_with_journal(engine: Engine, journal: Journal, count: int, folder: Path) -> None:
    run_job(engine, noop_job(count, folder, events=_JournalLog(journal, 1, None)))
    journal.flush().result()


def _drain(results: Any) -> None:
    for _ in results:
        pass


def _gather(client: Any, count: int) -> None:
    client.gather(client.map(nothing, range(count), pure=False))


def daisy_per_task(count: int, cores: int) -> float:
    """Measure daisy without its start and end.

    Parameters
    ----------
    count : int
        Number of blocks.
    cores : int
        Number of workers.

    Returns
    -------
    float
        Seconds per block.
    """
    start_s = time.perf_counter()
    run_daisy((2,), (1,), 0, nothing, cores)
    middle_s = time.perf_counter()
    run_daisy((count,), (1,), 0, nothing, cores)
    return ((time.perf_counter() - middle_s) - (middle_s - start_s)) / (count - 2)


class BareLoop:
    """ROUTER and DEALER with a window of credit and nothing else: the limit of the transport.

    Parameters
    ----------
    cores : int
        Number of workers.
    folder : Path
        Of the socket.
    """

    def __init__(self, cores: int, folder: Path) -> None:
        self._address = f"ipc://{folder}/loop"
        self._cores = cores

    def __enter__(self) -> BareLoop:
        context = multiprocessing.get_context("fork")
        self._processes = [
            context.Process(target=_bare_worker, args=(self._address,), daemon=True)
            for _ in range(self._cores)
        ]
        for process in self._processes:
            process.start()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(self._address)
        self._workers = [self._socket.recv_multipart()[0] for _ in self._processes]
        return self

    def run(self, count: int) -> None:
        """Send `count` tasks and take as many answers."""
        encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(wire.TaskDone).decode
        socket, sent, done = self._socket, 0, 0
        for sent in range(min(count, _WINDOW * len(self._workers))):
            socket.send_multipart([self._workers[sent % len(self._workers)], encode(_task(sent))])
        sent += 1
        while done < count:
            worker, answer = socket.recv_multipart()
            decode(answer)
            done += 1
            if sent < count:
                socket.send_multipart([worker, encode(_task(sent))])
                sent += 1

    def __exit__(self, *exc_info: object) -> None:
        for process in self._processes:
            process.terminate()
            process.join()
        self._socket.close(0)
        self._context.term()


def _task(number: int) -> wire.Run:
    return wire.Run([wire.Task("j", number, 1, (number, 0, 0), (number + 1, 1, 1))])


def _bare_worker(address: str) -> None:
    socket = zmq.Context().socket(zmq.DEALER)
    socket.connect(address)
    socket.send(b"here")
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(wire.Run).decode
    parent = os.getppid()
    while os.getppid() == parent:
        for task in decode(socket.recv()).tasks:
            socket.send(encode(wire.TaskDone(task.job, task.block, task.attempt, 0.0)))
