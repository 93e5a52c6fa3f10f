"""``blockmill priority``: which job goes first."""

from __future__ import annotations

from typing import Any

import click

from ...formatting.tables import say_jobs
from .. import options
from ..groups import JOBS, verb


class _Number(click.ParamType):
    """A whole number, which may be negative: options that are unknown come here, and are refused as such."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(value)
        except ValueError:
            if str(value).startswith("-"):
                raise click.NoSuchOption(str(value), ctx=ctx) from None
            self.fail(f"{value!r} is not a whole number.", param, ctx)


@verb(
    JOBS,
    short_help="Let jobs go before or after others.",
    context_settings={"ignore_unknown_options": True},
)
@options.jobs("active")
@click.argument("priority", type=_Number())
@options.label
@options.as_json
@options.socket
@click.pass_context
def command(
    context: click.Context,
    jobs: tuple[int | str, ...],
    priority: int,
    label: str | None,
    as_json: bool,
    socket: str | None,
) -> int:
    """Let jobs go before (higher) or after (lower, perhaps negative) others."""
    from ..job_names import check_selection, select

    if option := next((str(job) for job in jobs if str(job).startswith("-")), None):
        raise click.NoSuchOption(option, ctx=context)
    check_selection(jobs, label)
    with options.client(socket) as service:
        numbers = select(service, jobs, "active", label=label)
        say_jobs([service.set_priority(number, priority) for number in numbers], as_json)
    return 0
