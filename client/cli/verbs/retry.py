"""``blockmill retry``: ended jobs once more."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....shared.errors import JobError
from ...formatting.output import complain
from ...formatting.tables import say_ends, say_jobs
from .. import options
from ..groups import JOBS, verb

if TYPE_CHECKING:
    from ....shared.jobs.staged import AnyJob
    from ....shared.messages.records import JobInfo
    from ...service.client import Client

_OF_THE_QUEUE = ("name", "label", "priority", "after")
"""Keys of a job file that a job keeps as they were submitted."""


@verb(JOBS, short_help="Queue ended jobs again, for what is not finished.")
@options.jobs("retryable")
@options.label
@click.option("--failed", "failed_only", is_flag=True, help="The failed blocks alone, not those never begun.")
@click.option(
    "--keep-finished", is_flag=True, help="Keep what is finished, though your code has changed since."
)
@click.option(
    "--job",
    "job_file",
    metavar="JOB.yaml",
    type=options.FILE,
    help="Do this from now on, with the same output; else as submitted.",
)
@click.option("--wait", is_flag=True, help="Wait for the end.")
@options.as_json
@options.socket
def command(
    jobs: tuple[int | str, ...],
    label: str | None,
    failed_only: bool,
    keep_finished: bool,
    job_file: str | None,
    wait: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """Queue ended jobs again, for the blocks that are not finished.

    A job is done again as it was submitted, also if its file was edited since. An edited file is taken with
    --job; name, label, priority and predecessors of the job stay.
    """
    from ..job_files import read_job
    from ..job_names import check_selection, select

    check_selection(jobs, label)
    if job_file is not None and len(jobs) != 1:
        raise click.UsageError("--job is for one job; name it by its number or name")
    edited = None if job_file is None else read_job(job_file)
    with options.client(socket) as service:
        infos: list[JobInfo] = []
        numbers = select(service, jobs, "retryable", label=label)
        try:
            for number in numbers:
                infos.append(_retry(service, number, failed_only, keep_finished, edited, job_file))
        finally:  # accepted ones are reported, even if the next one is refused
            if infos and not (wait and len(infos) == len(numbers)):
                say_jobs(infos, as_json)
        if wait:
            return say_ends(service.wait(numbers), as_json)
    return 0


def _retry(
    service: Client,
    number: int,
    failed_only: bool,
    keep_finished: bool,
    edited: AnyJob | None,
    job_file: str | None,
) -> JobInfo:
    note = "" if edited is not None else _edited_since(service, number)
    info = service.retry(
        number, failed_only=failed_only, keep_finished=keep_finished, edited=edited, file=job_file
    )
    if note:
        complain(note)
    return info


def _edited_since(service: Client, number: int) -> str:
    """What to tell if the job file is no longer what was submitted; an empty text if it is, or is gone."""
    from ....shared.jobs.job_file import job_of, load_job
    from ....shared.messages.service import GetJob

    reply = service.ask(GetJob(id=number))
    if not reply.file or not reply.spec or not Path(reply.file).is_file():
        return ""
    begin = f"job {number} runs again as it was submitted; {reply.file} has changed since"
    try:
        changed = _changed_keys(job_of(reply.spec), load_job(reply.file))
    except JobError:
        return f"{begin}, and can't be read as a job now"
    if not changed:
        return ""
    return (
        f"{begin} ({', '.join(changed)}). To take that up: blockmill cancel {number} && "
        f"blockmill retry {number} --job {shlex.quote(reply.file)}"
    )


def _changed_keys(before: AnyJob, now: AnyJob) -> list[str]:
    old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
    return [key for key in old if key not in _OF_THE_QUEUE and old[key] != new[key]]
