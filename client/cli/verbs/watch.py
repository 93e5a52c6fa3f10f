"""``blockmill watch``: a job, live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...formatting.output import say_json
from ...formatting.tables import result_code
from .. import options
from ..groups import JOBS, verb
from ..watching import watch_exit_code, watch_job

if TYPE_CHECKING:
    from ...service.client import Client


@verb(JOBS)
@options.job()
@click.option("--jsonl", "as_jsonl", is_flag=True, help="A JSON document a change.")
@options.as_json
@options.socket
def command(job: int | str, as_jsonl: bool, as_json: bool, socket: str | None) -> int:
    """Follow a job, live; Ctrl-C leaves it running."""
    from ..job_names import select_one

    with options.client(socket) as service:
        number = select_one(service, job)
        if as_jsonl:
            return _watch_as_data(service, number)
        info = watch_job(service, number, quiet=as_json)
    if as_json:
        say_json(job=info)
    return watch_exit_code(info)


def _watch_as_data(service: Client, number: int) -> int:
    code = 0
    for info in service.watch(number):
        say_json(job=info)
        code = result_code(info)
    return code
