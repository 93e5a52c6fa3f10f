"""The peers, each used as its users do, with as many workers as blockmill; each may be missing."""

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
    """Test if a peer is installed; add a note if it is not.

    Parameters
    ----------
    bench : Bench
        Takes the note.
    module : str

    Returns
    -------
    bool
    """
    exists = importlib.util.find_spec(module) is not None
    if not exists:
        bench.note(f"{module}: not installed")
    return exists


@contextlib.contextmanager
def pool(cores: int) -> Iterator[Any]:
    """A `multiprocessing.Pool` whose workers have started.

    Make it before an engine: a fork while another thread starts a program copies that thread's pipes,
    and the thread would wait for their end.
    """
    with multiprocessing.get_context("fork").Pool(cores) as workers:
        workers.map(nothing, range(4 * cores), chunksize=1)
        yield workers


def with_service(
    service: Callable[[], AbstractContextManager[Any]], run: Callable[[Any], Any]
) -> Callable[[], float]:
    """Make a contender that starts a service, runs twice, and times the second run.

    The schedulers of some peers take a tenth of a core when they have nothing to do, so none may run
    beside the other contenders.

    Parameters
    ----------
    service : callable
        Returns the context manager of the service.
    run : callable
        Called with what the context manager yields.

    Returns
    -------
    callable
        Returns seconds.
    """

    def timed() -> float:
        with service() as resource:
            run(resource)
            start_s = time.perf_counter()
            run(resource)
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
    """Call `function(block)` for all blocks of a volume in daisy's worker processes.

    Parameters
    ----------
    shape : tuple of int
        Of the volume, in voxels.
    edge : tuple of int
        Shape of a block.
    context : int
        Voxels that are read around each block.
    function : callable
    cores : int
        Number of workers.

    Raises
    ------
    RuntimeError
        If daisy does not finish.
    """
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
