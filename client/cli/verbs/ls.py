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
                    complain(_none(states, label))

        return repeat(show, watch)


def _none(states: tuple[State, ...], label: str | None) -> str:
    if not states and label is None:
        return "no jobs; submit one with: blockmill submit JOB.yaml"
    clauses = ["is " + " or ".join(state.replace("_", " ") for state in states)] if states else []
    clauses += [f"has the label {label}"] if label is not None else []
    return f"no job {' and '.join(clauses)}"
