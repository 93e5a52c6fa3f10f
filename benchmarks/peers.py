"""The peers, each in the form in which people use it, with as many workers as ours; each may be missing."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from harness import Bench


def installed(bench: Bench, module: str) -> bool:
    """Whether a peer is here; told where it is not."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        bench.note(f"{module}: not installed")
    return found


@contextlib.contextmanager
def pool(cores: int) -> Iterator[Any]:
    """A `multiprocessing.Pool` whose workers are up.

    Make it before an engine: a fork while another thread starts a program copies that thread's pipes,
    and the thread would wait for their end.
    """
    with multiprocessing.get_context("fork").Pool(cores) as made:
        made.map(nothing, range(4 * cores), chunksize=1)
        yield made


def apart(
    service: Callable[[], AbstractContextManager[Any]], run: Callable[[Any], Any]
) -> Callable[[], float]:
    """`run(service)`, timed, the second time; the service is up for that alone.

    The schedulers of some peers take a tenth of a core when they have nothing to do, which the
    other contenders would miss.
    """

    def timed() -> float:
        with service() as up:
            run(up)
            start_s = time.perf_counter()
            run(up)
            return time.perf_counter() - start_s

    return timed


def nothing(number: Any) -> Any:
    """A task that does nothing."""
    return number


@contextlib.contextmanager
def distributed(cores: int) -> Iterator[Any]:
    """A dask client with a local cluster of `cores` processes of one thread each."""
    from distributed import Client, LocalCluster

    options = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(cores, processes=True, threads_per_worker=1, **options) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(nothing, range(4 * cores)))
        yield client


@contextlib.contextmanager
def ray(cores: int) -> Iterator[Any]:
    """The module ray with `cores` workers started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray as module

    module.init(
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=1 << 30,
    )
    try:
        yield module
    finally:
        module.shutdown()


def run_daisy(shape: tuple[int, ...], edge: tuple[int, ...], context: int, function: Any, cores: int) -> None:
    """Have daisy do `function(block)` for all blocks, in worker processes of its own."""
    import daisy

    daisy.logging.set_log_basedir(None)
    zeros = (0,) * len(shape)
    write = daisy.Roi(zeros, edge)
    task = daisy.Task(
        f"bench-{os.getpid()}",
        total_roi=daisy.Roi(tuple(-context for _ in shape), tuple(n + 2 * context for n in shape)),
        read_roi=write.grow((context,) * len(shape), (context,) * len(shape)),
        write_roi=write,
        process_function=function,
        read_write_conflict=False,
        max_workers=cores,
    )
    options = {"progress": False, "block_tracking": False, "summary": False, "host": "127.0.0.1"}
    if not daisy.run_blockwise(task, **options):
        raise RuntimeError("daisy did not finish")
