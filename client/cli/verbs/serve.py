"""``blockmill serve``: the service itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .. import options
from ..groups import SERVICE, verb

if TYPE_CHECKING:
    from ....daemon.service.settings import Settings


@verb(SERVICE, short_help="Run the service.")
@click.option("--state-dir", metavar="DIR", help="For journal and logs; default: your state folder.")
@click.option(
    "-w", "--workers", type=click.IntRange(1, 1024), help="Worker processes; default: all processors."
)
@click.option("--memory", metavar="SIZE", help="What all workers together may take, such as 24GiB.")
@click.option("--worker-memory", metavar="SIZE", help="What one may take; it is killed beyond.")
@click.option("--recycle-tasks", type=click.IntRange(1), help="Replace a worker after so many blocks.")
@click.option("--recycle-age", type=float, metavar="SECONDS", help="Replace a worker of this age.")
@click.option("--recycle-growth", metavar="SIZE", help="Replace a worker that has grown by so much.")
@click.option("--history-days", type=float, help="Keep ended jobs so long; default: 30.")
@click.option("--system", is_flag=True, help="Be the machine's: touch only what access.data_roots names.")
@click.option(
    "-c",
    "--config",
    metavar="FILE",
    type=options.FILE,
    help="Read this file instead of those in the usual places.",
)
@options.socket
def command(
    state_dir: str | None,
    workers: int | None,
    memory: str | None,
    worker_memory: str | None,
    recycle_tasks: int | None,
    recycle_age: float | None,
    recycle_growth: str | None,
    history_days: float | None,
    system: bool,
    config: str | None,
    socket: str | None,
) -> int:
    """Run the service; SIGTERM or Ctrl-C lets running blocks end first."""
    from ....daemon.service.logging_setup import begin_logging
    from ....daemon.service.server import serve
    from ....daemon.service.settings import Settings
    from ....shared.config.layers import load_config

    overrides = {  # keys of the configuration, and the options that set them
        "socket": ("--socket", socket),
        "state_dir": ("--state-dir", state_dir),
        "workers.count": ("--workers", workers),
        "workers.memory": ("--memory", memory),
        "workers.memory_per_worker": ("--worker-memory", worker_memory),
        "workers.recycle.tasks": ("--recycle-tasks", recycle_tasks),
        "workers.recycle.age_s": ("--recycle-age", recycle_age),
        "workers.recycle.growth": ("--recycle-growth", recycle_growth),
        "history_days": ("--history-days", history_days),
    }
    overrides = {key: (option, value) for key, (option, value) in overrides.items() if value is not None}

    def read() -> Settings:
        return Settings.of(load_config(only=config, options=overrides).config, system=system)

    begin_logging()
    return serve(read(), read)
