"""``blockmill submit``: job files for the service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....shared.errors import JobError
from ...formatting.output import say, say_json
from ...formatting.tables import say_ends
from .. import options
from ..groups import JOBS, verb
from ..watching import wait_for_end, watch_exit_code, watch_job

if TYPE_CHECKING:
    from ....shared.jobs.staged import AnyJob
    from ....shared.messages.records import JobInfo
    from ...service.client import Client


@verb(JOBS)
@options.job_files
@click.option("--wait", is_flag=True, help="Wait for the end; the exit code tells how the job ended.")
@click.option("--follow", is_flag=True, help="Show progress and log until the end.")
@click.option(
    "--after",
    multiple=True,
    metavar="JOB",
    help="A job that must be done before.",
    shell_complete=options.complete_jobs("all"),
)
@click.option("--priority", type=int, help="Higher goes first; default: as in the file, or 0.")
@click.option("--label", help="To find jobs of a kind.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option(
    "--keep-finished", is_flag=True, help="Keep what is finished, though your code has changed since."
)
@click.option("--no-check", "check", flag_value=False, default=True, help="Don't open the input first.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and submit nothing.")
@click.option("--id-only", is_flag=True, help="Print the number alone.")
@options.as_json
@options.socket
def command(
    job_files: tuple[str, ...],
    wait: bool,
    follow: bool,
    after: tuple[str, ...],
    priority: int | None,
    label: str | None,
    overwrite: bool,
    keep_finished: bool,
    check: bool,
    dry_run: bool,
    id_only: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """Hand job files to the service ("-" reads one from stdin)."""
    if dry_run:
        return _say_estimates(job_files, as_json, overwrite)
    follows = tuple(int(item) if item.isdigit() else item for item in after)
    jobs = [_read(path, check and not follows) for path in job_files]
    with options.client(socket) as service:
        infos: list[JobInfo] = []
        try:
            for path, job in zip(job_files, jobs, strict=True):
                replacing = {"overwrite": overwrite, "keep_finished": keep_finished}
                infos.append(
                    service.submit(job, priority=priority, label=label, after=follows, file=path, **replacing)
                )
        finally:  # accepted jobs are reported, even if the next one is refused
            at_the_end = as_json and (follow or wait) and len(infos) == len(jobs)
            if infos and not at_the_end:
                _say_accepted(infos, id_only, as_json)
        if follow:
            return _follow(service, infos, quiet=as_json or id_only, as_json=as_json)
        if wait:
            return say_ends([wait_for_end(service, info.id) for info in infos], as_json)
    return 0


def _say_estimates(job_files: tuple[str, ...], as_json: bool, overwrite: bool) -> int:
    from ..dry_run import say_estimate
    from ..job_files import read_jobs

    jobs, code = read_jobs(job_files)
    return max(
        [code]
        + [say_estimate(job, path, workers=None, as_json=as_json, overwrite=overwrite) for path, job in jobs]
    )


def _read(path: str, check: bool) -> AnyJob:
    """Read a job; check input and output, as far as that needs no worker."""
    from ....daemon.runs.staged_run import run_of
    from ....shared.jobs.job_file import message_with_position
    from ..job_files import read_job

    job = read_job(path)
    if check and not job.after:
        try:
            output = run_of(job, job.workers or 1).output
            output.close()
            output.files.check_writable()
        except JobError as error:
            raise type(error)(message_with_position(path, str(error))) from error
    return job


def _say_accepted(infos: list[JobInfo], id_only: bool, as_json: bool) -> None:
    if as_json:
        say_json(jobs=infos)
        return
    for info in infos:
        waiting = f" ({info.reason})" if info.reason else ""
        say(str(info.id) if id_only else f"job {info.id}: {info.name} -> {_short(info.output)}{waiting}")


def _short(address: str) -> str:
    path = Path(address)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else address


def _follow(service: Client, infos: list[JobInfo], *, quiet: bool, as_json: bool) -> int:
    """Show jobs until they have ended; return the exit code."""
    last: list[JobInfo] = []
    for info in infos:
        last.append(watch_job(service, info.id, with_log=True, quiet=quiet))
        if not last[-1].ended:
            break
    if as_json:
        say_json(jobs=last)
    return max(watch_exit_code(info) for info in last)
