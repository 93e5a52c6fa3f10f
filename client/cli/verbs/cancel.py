"""``blockmill cancel``: the end of jobs, now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ....shared.errors import NoSuchJob, Refused
from ...formatting.tables import say_jobs
from .. import options
from ..groups import JOBS, verb

if TYPE_CHECKING:
    from ....shared.messages.records import JobInfo
    from ...service.client import Client


@verb(JOBS)
@options.jobs("active")
@click.option("--all", "everything", is_flag=True, help="All your jobs that have not ended.")
@options.label
@click.option("--now", is_flag=True, help="Kill running blocks, without the 0.7 s in which they may tidy up.")
@click.option("--no-wait", "wait", flag_value=False, default=True, help="Don't wait for the end.")
@options.as_json
@options.socket
def command(
    jobs: tuple[int | str, ...],
    everything: bool,
    label: str | None,
    now: bool,
    wait: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """End jobs now; finished blocks stay valid."""
    from ..job_names import check_selection, select

    check_selection(jobs, label, all=everything)
    with options.client(socket) as service:
        numbers = select(service, jobs, "active", label=label, everything=everything)
        infos = [_cancel(service, number, now, may_have_ended=not jobs) for number in numbers]
        if wait:
            infos = service.wait(numbers)
    say_jobs(infos, as_json)
    return 0


def _cancel(service: Client, number: int, now: bool, *, may_have_ended: bool) -> JobInfo:
    """Cancel one job; of many, one may have ended meanwhile, perhaps because it follows another of them."""
    try:
        return service.cancel(number, now=now)
    except NoSuchJob:
        raise
    except Refused:
        if may_have_ended and (info := service.job(number)).ended:
            return info
        raise
