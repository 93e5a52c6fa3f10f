"""The verbs that bring jobs to the service and steer them."""

from __future__ import annotations

import sys
from pathlib import Path

from ...shared.errors import JobError
from ...shared.job import Job, load_job, told_with_place
from ...shared.reports import JobInfo
from .follow import watch_job
from .shell import client, complain, result_code, say, say_jobs, say_json, tell_end, verb


@verb
def submit(
    paths: tuple[str, ...],
    *,
    socket: str | None,
    wait: bool,
    follow: bool,
    after: tuple[str, ...],
    priority: int | None,
    label: str | None,
    overwrite: bool,
    check: bool,
    id_only: bool,
    as_json: bool,
) -> int:
    """Hand job files in, in this order; the exit code of the command."""
    follows = tuple(int(item) if item.isdigit() else item for item in after)
    jobs = [_read(path, check and not follows) for path in paths]
    with client(socket) as service:
        infos = [
            service.submit(job, priority=priority, label=label, after=follows, overwrite=overwrite)
            for job in jobs
        ]
        _told(infos, id_only, as_json and not wait)
        if follow:
            return max(watch_job(service, info.id, with_log=True) for info in infos)
        if wait:
            ended = [service.wait(info.id) for info in infos]
            return _ends(ended, as_json)
    return 0


def _read(path: str, check: bool) -> Job:
    """The job in a file, tried as far as that goes without a worker."""
    job = load_job(path, sys.stdin.read() if path == "-" else None)
    if check and not job.after:
        from ...daemon.jobrun import JobRun

        try:
            JobRun(job, job.workers or 1).output.close()
        except JobError as error:
            raise type(error)(told_with_place(path, str(error))) from error
    return job


def _told(infos: list[JobInfo], id_only: bool, as_json: bool) -> None:
    if as_json:
        say_json(jobs=infos)
        return
    for info in infos:
        waiting = f" ({info.reason})" if info.reason else ""
        say(str(info.id) if id_only else f"job {info.id}: {info.name} -> {_short(info.output)}{waiting}")


def _short(address: str) -> str:
    path = Path(address)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else address


def _ends(infos: list[JobInfo], as_json: bool) -> int:
    if as_json:
        say_json(jobs=infos)
    for info in infos:
        tell_end(info)
    return max(result_code(info) for info in infos)


@verb
def wait(numbers: tuple[int, ...], *, socket: str | None, timeout_s: float | None, as_json: bool) -> int:
    """Wait until jobs have ended; the exit code tells how."""
    with client(socket) as service:
        return _ends([service.wait(number, timeout_s=timeout_s) for number in numbers], as_json)


@verb
def cancel(numbers: tuple[int, ...], *, socket: str | None, wait: bool, as_json: bool) -> int:
    """End jobs, and wait until their running blocks have been ended."""
    with client(socket) as service:
        infos = [service.cancel(number) for number in numbers]
        if wait:
            infos = [service.wait(number) for number in numbers]
    say_jobs(infos, as_json)
    return 0


@verb
def retry(
    numbers: tuple[int, ...], *, socket: str | None, failed_only: bool, wait: bool, as_json: bool
) -> int:
    """Queue ended jobs again."""
    with client(socket) as service:
        infos = [service.retry(number, failed_only=failed_only) for number in numbers]
        if wait:
            return _ends([service.wait(number) for number in numbers], as_json)
    say_jobs(infos, as_json)
    return 0


@verb
def pause(numbers: tuple[int, ...], *, socket: str | None, paused: bool, as_json: bool) -> int:
    """Pause or resume jobs; none named: all."""
    with client(socket) as service:
        infos = service.pause(*numbers) if paused else service.resume(*numbers)
    say_jobs(infos, as_json)
    if not numbers and paused and not as_json:
        complain("nothing is started until `blockmill resume --all`")
    return 0


@verb
def set_priority(number: int, priority: int, *, socket: str | None, as_json: bool) -> int:
    """Change the priority of a job."""
    with client(socket) as service:
        say_jobs([service.set_priority(number, priority)], as_json)
    return 0
