"""Completion in shells: the scripts, and the numbers of jobs that the service knows right now."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from ...shared.errors import BlockmillError
from ...shared.messages.records import ENDED, JobInfo
from ..formatting.output import duration, say
from ..service.client import Client

VARIABLE = "_BLOCKMILL_COMPLETE"
"""With it in its environment the command completes instead of doing anything (click's convention)."""
_PATIENCE_S = 0.2
_MOST = 100


def script(shell: str, cli: click.Command) -> int:
    """Print the script that makes a shell complete the command."""
    kind = get_completion_class(shell)
    assert kind is not None  # click.Choice has seen to that
    say(kind(cli, {}, "blockmill", VARIABLE).source())
    return 0


def job_numbers(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Numbers of jobs that make sense for this verb; none where no service answers at once.

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
        if str(info.id).startswith(incomplete) and str(info.id) not in given and _fits(context, info)
    ]


def _fits(context: click.Context, info: JobInfo) -> bool:
    verb = context.info_name
    if verb in ("cancel", "pause", "resume", "priority"):
        return info.state not in ENDED
    if verb == "retry":
        return info.state in ENDED and info.state != "done"
    return True


def _left(info: JobInfo) -> str:
    return "" if info.eta_s is None or info.ended else f", {duration(info.eta_s)} left"
