"""How blockmill is used in the cases."""

from __future__ import annotations

from typing import Any

from blockmill.daemon.engine import Engine
from blockmill.daemon.handle import Ended
from blockmill.daemon.work import Order
from blockmill.shared.errors import BlockmillError


def run_order(engine: Engine, order: Order) -> None:
    """Submit an order whose blocks give nothing back, and wait for its end."""
    handle = engine.submit(order)
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
