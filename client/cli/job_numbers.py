"""Completion in shells of the numbers of jobs that the service knows right now."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from ...shared.errors import BlockmillError
from ...shared.messages.records import ENDED, JobInfo
from ...shared.units import format_duration
from ..service.client import Client
from .options import Fitting

_PATIENCE_S = 0.2
_MOST = 100


def job_numbers(context: click.Context, incomplete: str, fitting: Fitting) -> list[CompletionItem]:
    """Numbers of jobs that fit a verb; none where no service answers at once.

    Shells that show a note with each get name and state.
    """
    given = {str(number) for number in context.params.get("numbers") or ()}
    try:
        with Client(context.params.get("socket"), timeout_s=_PATIENCE_S) as service:
            jobs = service.jobs(limit=_MOST)
    except (BlockmillError, OSError):
        return []  # whoever presses the tab key is told when the command runs
    return [
        CompletionItem(str(info.id), help=f"{info.name} ({info.state.replace('_', ' ')}{_left(info)})")
        for info in jobs
        if str(info.id).startswith(incomplete) and str(info.id) not in given and _fits(info, fitting)
    ]


def _fits(info: JobInfo, fitting: Fitting) -> bool:
    if fitting == "active":
        return info.state not in ENDED
    if fitting == "retryable":
        return info.state in ENDED and info.state != "done"
    return True


def _left(info: JobInfo) -> str:
    return "" if info.eta_s is None or info.ended else f", {format_duration(info.eta_s)} left"
