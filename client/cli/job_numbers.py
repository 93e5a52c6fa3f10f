"""Shell completion of the numbers of the service's jobs."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from ...shared.errors import BlockmillError
from ...shared.messages.records import ENDED, JobInfo
from ...shared.units import format_duration
from ..service.client import Client
from .options import JobFilter

_PATIENCE_S = 0.2
_MAX_JOBS = 100


def job_numbers(context: click.Context, incomplete: str, job_filter: JobFilter) -> list[CompletionItem]:
    """Complete the number of a job; there is nothing to complete if no service answers at once.

    Parameters
    ----------
    context : click.Context
        With the parameters entered so far.
    incomplete : str
        The digits entered so far.
    job_filter : {"all", "active", "retryable"}
        Jobs to which the verb applies.

    Returns
    -------
    list of CompletionItem
        With name and state as help, for shells that show it.
    """
    entered = {str(number) for number in context.params.get("numbers") or ()}
    try:
        with Client(context.params.get("socket"), timeout_s=_PATIENCE_S) as service:
            jobs = service.jobs(limit=_MAX_JOBS)
    except (BlockmillError, OSError):
        return []  # the command itself reports that when it runs
    return [
        CompletionItem(str(info.id), help=f"{info.name} ({info.state.replace('_', ' ')}{_time_left(info)})")
        for info in jobs
        if str(info.id).startswith(incomplete) and str(info.id) not in entered and _matches(info, job_filter)
    ]


def _matches(info: JobInfo, job_filter: JobFilter) -> bool:
    if job_filter == "active":
        return info.state not in ENDED
    if job_filter == "retryable":
        return info.state in ENDED and info.state != "done"
    return True


def _time_left(info: JobInfo) -> str:
    return "" if info.eta_s is None or info.ended else f", {format_duration(info.eta_s)} left"
