"""The verb that runs the service."""

from __future__ import annotations

import logging
from pathlib import Path

from ...daemon.service import serve as run_service
from ...daemon.settings import Settings
from ...shared import places
from ...shared.errors import JobError
from ...shared.fields import parse_size
from .shell import verb


@verb
def serve(
    *,
    socket: str | None,
    state_dir: str | None,
    workers: int | None,
    memory: str | None,
    worker_memory: str | None,
    recycle_tasks: int | None,
    recycle_age: float | None,
    recycle_growth: str | None,
    history_days: float,
) -> int:
    """Run the service until it is told to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings(
        socket=places.socket_path(socket),
        state_dir=places.state_dir() if state_dir is None else Path(state_dir).absolute(),
        workers=workers,
        memory_bytes=_size("--memory", memory),
        worker_memory_bytes=_size("--worker-memory", worker_memory),
        recycle_tasks=recycle_tasks,
        recycle_age_s=recycle_age,
        recycle_growth_bytes=_size("--recycle-growth", recycle_growth),
        history_days=history_days,
    )
    return run_service(settings)


def _size(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_size(text)
    except JobError as error:
        raise JobError(f"{option}: {error}") from error
