"""``blockmill top``: workers and active jobs, live."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ...formatting.output import on_terminal, say, say_json
from ...formatting.tables import say_jobs, say_workers, service_text
from .. import options
from ..groups import SERVICE, verb
from ..watching import repeat

if TYPE_CHECKING:
    from ...service.client import Client


@verb(SERVICE)
@click.option("--once", is_flag=True, help="Once, and out.")
@click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a second, until Ctrl-C.")
@options.as_json
@options.color
@options.socket
def command(once: bool, as_jsonl: bool, as_json: bool, socket: str | None) -> int:
    """Workers and active jobs, live."""
    live = as_jsonl or (on_terminal() and not as_json)
    with options.client(socket) as service:
        return repeat(lambda: _show(service, as_json or as_jsonl), live and not once)


def _show(service: Client, as_json: bool) -> None:
    info, jobs, workers = service.service(), service.jobs(limit=0), service.workers()
    if as_json:
        say_json(service=info, jobs=jobs, workers=workers)
        return
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    say(f"{service_text(info)}; load {load}")
    say_workers(workers)
    say_jobs(jobs, False)
