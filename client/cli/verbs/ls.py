"""``blockmill ls``: the jobs that the service knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...formatting.output import complain, say_json
from ...formatting.tables import say_jobs
from .. import options
from ..groups import JOBS, verb
from ..watching import repeat

if TYPE_CHECKING:
    from ....shared.messages.records import State

_STATES = ("queued", "running", "cancelling", "done", "done_with_failures", "failed", "cancelled")


@verb(JOBS)
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Only these.")
@click.option("--label", help="Only these.")
@click.option("-a", "--all", "everything", is_flag=True, help="All that are known.")
@click.option("--limit", default=20, show_default=True, help="At most so many ended ones.")
@options.watch
@options.as_jsonl
@options.as_json
@options.color
@options.socket
def command(
    states: tuple[State, ...],
    label: str | None,
    everything: bool,
    limit: int,
    watch: bool,
    as_jsonl: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """List jobs, active ones first."""
    with options.client(socket) as service:

        def show() -> None:
            jobs = service.jobs(*states, label=label, limit=1 << 31 if everything else limit)
            if as_jsonl:
                for info in jobs:
                    say_json(job=info)
            else:
                say_jobs(jobs, as_json)
                if not jobs and not as_json:
                    selected = " of this kind" if states or label else ""
                    complain(f"no jobs{selected}; submit one with: blockmill submit JOB.yaml")

        repeat(show, watch)
    return 0
