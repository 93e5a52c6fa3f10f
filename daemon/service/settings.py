"""The settings of the service."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ...shared.config import locations
from ...shared.config.keys import default_folder
from ...shared.config.model import Access, Config, Limits, Tcp


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a service.

    Attributes
    ----------
    socket : Path
        The socket at which it listens.
    state_dir : Path
        Folder of its journal and the logs of jobs; one service at a time may use it.
    workers : int or None
        Worker processes at the start; None: one per usable processor.
    memory_bytes : int or None
        Memory limit of all workers together, in bytes.
    worker_memory_bytes : int or None
        Most resident memory of one worker; one that takes more is killed, and its block tried again alone.
    recycle_tasks : int or None
        Number of blocks after which a worker is replaced.
    recycle_age_s : float or None
        Age at which a worker is replaced.
    recycle_growth_bytes : int or None
        Growth of a worker's memory since its first block at which it is replaced.
    history_days : float
        Time for which ended jobs are kept.
    access : Access
        Admins, and the folders that jobs may name.
    limits : Limits
        Most jobs, blocks, connections and message bytes.
    tcp : Tcp
        The endpoint on the network, if there is one.
    system : bool
        True for the machine's service, which touches only folders that are named in `access`.
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
    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)
    tcp: Tcp = field(default_factory=Tcp)
    system: bool = False

    @property
    def worker_count(self) -> int:
        """Worker processes to start with."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def keys_dir(self) -> Path:
        """Folder of the service's key and those of its clients."""
        return Path(self.tcp.keys).expanduser() if self.tcp.keys is not None else default_folder()

    def changes_for_restart(self, other: Settings) -> list[str]:
        """Names of the settings that differ in `other` and that can't change while the service runs."""
        pairs = {
            "socket": (self.socket, other.socket),
            "state_dir": (self.state_dir, other.state_dir),
            "tcp": (self.tcp, other.tcp),
            "access.group": (self.access.group, other.access.group),
            "limits.message": (self.limits.message, other.limits.message),
            "limits.connections": (self.limits.connections, other.limits.connections),
        }
        return [name for name, (old, new) in pairs.items() if old != new]

    @classmethod
    def of(cls, config: Config, *, system: bool = False) -> Settings:
        """The settings in a configuration; paths that it does not name get their defaults.

        Parameters
        ----------
        config : Config
        system : bool
            True for the machine's service.

        Returns
        -------
        Settings

        Raises
        ------
        BlockmillError
            If the path of the socket is too long.
        """
        workers, state = config.workers, config.state_dir
        return cls(
            socket=locations.socket_path(config.socket),
            state_dir=locations.state_dir() if state is None else Path(state).expanduser().absolute(),
            workers=workers.count,
            memory_bytes=workers.memory,
            worker_memory_bytes=workers.memory_per_worker,
            recycle_tasks=workers.recycle.tasks,
            recycle_age_s=workers.recycle.age_s,
            recycle_growth_bytes=workers.recycle.growth,
            history_days=config.history_days,
            access=config.access,
            limits=config.limits,
            tcp=config.tcp,
            system=system,
        )
