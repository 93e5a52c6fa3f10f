"""``blockmill wait``: until jobs have ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from ....shared.errors import WaitTimeout
from ...formatting.output import complain
from ...formatting.tables import say_ends, state_of, waiting_text
from .. import options
from ..groups import JOBS, verb
from ..watching import wait_for_end

if TYPE_CHECKING:
    from ....shared.messages.records import JobInfo
    from ...service.client import Client


@verb(JOBS)
@options.jobs()
@options.label
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0), help="Seconds for all of them; then exit code 7."
)
@options.as_jsonl
@options.as_json
@options.socket
def command(
    jobs: tuple[int | str, ...],
    label: str | None,
    timeout_s: float | None,
    as_jsonl: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """Wait until jobs have ended; exit code 0 if all are done."""
    from ..job_names import check_selection, select

    check_selection(jobs, label)
    with options.client(socket) as service:
        numbers = select(service, jobs, label=label)
        for number in numbers:
            service.job(number)  # an unknown job is an error at once
        return say_ends(_wait_for(service, numbers, timeout_s), as_json, as_jsonl)


def _wait_for(service: Client, numbers: list[int], timeout_s: float | None) -> list[JobInfo]:
    """Wait until all these jobs have ended, at most `timeout_s` seconds in total."""
    if timeout_s is None:
        return [wait_for_end(service, number) for number in numbers]
    deadline_s, infos = time.monotonic() + timeout_s, []
    for number in numbers:
        if text := waiting_text(service.job(number)):
            complain(text)
        try:
            infos.append(service.wait(number, timeout_s=max(deadline_s - time.monotonic(), 0.0)))
        except WaitTimeout:
            state = state_of(service.job(number))
            raise WaitTimeout(f"job {number} is {state} after {timeout_s:g} s") from None
    return infos
