"""Jobs on blockmill's engine, as the cases use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from blockmill import BlockGrid, Roi
from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.engine.handle import Ended
from blockmill.daemon.engine.job import JobSpec
from blockmill.shared.errors import BlockmillError
from blockmill.shared.messages import engine as wire


def noop_job(count: int, folder: Path, **options: Any) -> JobSpec:
    """Make a job whose blocks go through leases, states and retries, and do nothing in the worker.

    Parameters
    ----------
    count : int
        Number of blocks.
    folder : Path
        Of a source volume, which is made if it does not exist.
    **options
        Further fields of `JobSpec`.

    Returns
    -------
    JobSpec
    """
    source = folder / "nothing.npy"
    if not source.exists():
        np.save(source, np.zeros((1, 1, 1), np.uint8))
    grid = BlockGrid(Roi((0, 0, 0), (count, 1, 1)), (1, 1, 1))
    return JobSpec(
        recipe=wire.Recipe(sources=(wire.Source(str(source)),), probe=True), blocks=grid, **options
    )


def run_job(engine: Engine, spec: JobSpec) -> None:
    """Submit a job without results, and wait for its end.

    Parameters
    ----------
    engine : Engine
    spec : JobSpec

    Raises
    ------
    BlockmillError
        If it does not end as done.
    """
    handle = engine.submit(spec)
    while not isinstance(item := handle.next(), Ended):
        pass
    if item.outcome != "done":
        raise BlockmillError(f"{item.outcome}: {item.cause} {item.failures[:1]}")


def parallel_volume() -> Any:
    """Return the class for merged reads and writes, or None if this blockmill has none."""
    try:
        from blockmill import ParallelVolume
    except (ImportError, AttributeError):
        return None
    return ParallelVolume
