"""What can be set of the service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..shared import places
from ..shared.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a service is run.

    Attributes
    ----------
    socket : Path
        Where it listens.
    state_dir : Path
        Where it keeps its journal and the logs of jobs; one service at a time.
    workers : int or None
        Worker processes at the start; None: one per usable processor.
    memory_bytes : int or None
        What all workers together may take.
    worker_memory_bytes : int or None
        Most resident memory of one worker; it is killed beyond, and its block tried again alone.
    recycle_tasks : int or None
        A worker is replaced after so many blocks.
    recycle_age_s : float or None
        A worker is replaced after so long.
    recycle_growth_bytes : int or None
        A worker is replaced once its memory has grown by so much since its first block.
    history_days : float
        How long ended jobs are kept.
    """

    socket: Path
    state_dir: Path
    workers: int | None = None
    memory_bytes: int | None = None
    worker_memory_bytes: int | None = None
    recycle_tasks: int | None = None
    recycle_age_s: float | None = None
    recycle_growth_bytes: int | None = None
    history_days: float = 30.0

    @classmethod
    def of(cls, config: Config) -> Settings:
        """As the configuration says, with the places that it leaves open.

        Raises
        ------
        BlockmillError
            If the path of the socket is too long.
        """
        workers, state = config.workers, config.state_dir
        return cls(
            socket=places.socket_path(config.socket),
            state_dir=places.state_dir() if state is None else Path(state).expanduser().absolute(),
            workers=workers.count,
            memory_bytes=workers.memory,
            worker_memory_bytes=workers.memory_per_worker,
            recycle_tasks=workers.recycle.tasks,
            recycle_age_s=workers.recycle.age_s,
            recycle_growth_bytes=workers.recycle.growth,
            history_days=config.history_days,
        )
