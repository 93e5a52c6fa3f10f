"""The verb that runs the service."""

from __future__ import annotations

from typing import Any

from ....daemon.service.logging_setup import begin_logging
from ....daemon.service.server import serve as run_service
from ....daemon.service.settings import Settings
from ....shared.config.layers import load_config
from ...formatting.output import verb

_KEYS = {
    "socket": "socket",
    "state_dir": "state_dir",
    "workers": "workers.count",
    "memory": "workers.memory",
    "worker_memory": "workers.memory_per_worker",
    "recycle_tasks": "workers.recycle.tasks",
    "recycle_age": "workers.recycle.age_s",
    "recycle_growth": "workers.recycle.growth",
    "history_days": "history_days",
}
"""Options and the keys of the configuration that they set."""


@verb
def serve(*, config: str | None, system: bool, **options: Any) -> int:
    """Run the service until it is told to end."""
    given = {
        _KEYS[name]: (f"--{name.replace('_', '-')}", value)
        for name, value in options.items()
        if value is not None
    }

    def read() -> Settings:
        return Settings.of(load_config(only=config, options=given).config, system=system)

    begin_logging()
    return run_service(read(), read)
