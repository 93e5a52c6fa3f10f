"""How blockmill is used in the cases."""

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
    """Blocks that go through leases, states and retries, and do nothing in the worker."""
    source = folder / "nothing.npy"
    if not source.exists():
        np.save(source, np.zeros((1, 1, 1), np.uint8))
    grid = BlockGrid(Roi((0, 0, 0), (count, 1, 1)), (1, 1, 1))
    return JobSpec(recipe=wire.Recipe(source=str(source), probe=True), blocks=grid, **options)


def run_job(engine: Engine, spec: JobSpec) -> None:
    """Submit an order whose blocks give nothing back, and wait for its end."""
    handle = engine.submit(spec)
    while not isinstance(item := handle.next(), Ended):
        pass
    if item.outcome != "done":
        raise BlockmillError(f"{item.outcome}: {item.cause} {item.failures[:1]}")


def parallel_volume() -> Any:
    """The class for merged reads and writes; None where this blockmill has none."""
    try:
        from blockmill import ParallelVolume
    except (ImportError, AttributeError):
        return None
    return ParallelVolume
