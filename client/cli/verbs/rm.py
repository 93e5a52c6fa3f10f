"""``blockmill rm``: ended jobs disappear from the list."""

from __future__ import annotations

import click

from ....shared.units import format_count
from ...formatting.output import say, say_json
from .. import options
from ..groups import JOBS, verb


@verb(JOBS, short_help="Remove ended jobs from the list; outputs stay.")
@options.jobs("ended")
@click.option("--ended", is_flag=True, help="All your jobs that have ended.")
@click.option("--label", metavar="LABEL", help="All your jobs with this label that have ended.")
@options.as_json
@options.socket
def command(
    jobs: tuple[int | str, ...], ended: bool, label: str | None, as_json: bool, socket: str | None
) -> int:
    """Remove ended jobs from the list, with their logs; outputs stay.

    With --ended or --label, jobs stay that are not done and that another job comes after.
    """
    from ..job_names import check_selection, select

    check_selection(jobs, label, ended=ended)
    with options.client(socket) as service:
        if jobs:
            removed = service.remove(*select(service, jobs, "ended"))
        else:
            removed = service.remove_ended(label=label)
    if as_json:
        say_json(jobs=removed)
    else:
        say(f"{format_count(len(removed), 'job')} removed")
    return 0
