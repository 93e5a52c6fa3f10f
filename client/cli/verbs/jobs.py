"""The verbs that bring jobs to the service and steer them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from ....shared.errors import JobError, WaitTimeout
from ....shared.jobs.job import Job, load_job, told_with_place
from ....shared.messages.records import JobInfo
from ...formatting.output import (
    client,
    complain,
    result_code,
    say,
    say_jobs,
    say_json,
    state_of,
    tell_end,
    verb,
)
from ...service.client import Client
from .follow import code_of_watch, watch_job


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
        infos: list[JobInfo] = []
        try:
            for job in jobs:
                options: dict[str, Any] = {"priority": priority, "label": label, "after": follows}
                infos.append(service.submit(job, overwrite=overwrite, **options))
        finally:  # those that were accepted are told, whatever becomes of the next one
            at_the_end = as_json and (follow or wait) and len(infos) == len(jobs)
            if infos and not at_the_end:
                _told(infos, id_only, as_json)
        if follow:
            return _followed(service, infos, quiet=as_json or id_only, as_json=as_json)
        if wait:
            return _ends([service.wait(info.id) for info in infos], as_json)
    return 0


def _followed(service: Client, infos: list[JobInfo], *, quiet: bool, as_json: bool) -> int:
    """Show jobs until they have ended; the exit code."""
    last: list[JobInfo] = []
    for info in infos:
        last.append(watch_job(service, info.id, with_log=True, quiet=quiet))
        if not last[-1].ended:
            break
    if as_json:
        say_json(jobs=last)
    return max(code_of_watch(info) for info in last)


def _read(path: str, check: bool) -> Job:
    """The job in a file, tried as far as that goes without a worker."""
    job = load_job(path, sys.stdin.read() if path == "-" else None)
    if check and not job.after:
        from ....daemon.runs.run import JobRun

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


def _ends(infos: list[JobInfo], as_json: bool, as_jsonl: bool = False) -> int:
    if as_json:
        say_json(jobs=infos)
    if as_jsonl:
        for info in infos:
            say_json(job=info)
    for info in infos:
        tell_end(info)
    return max(result_code(info) for info in infos)


@verb
def wait(
    numbers: tuple[int, ...], *, socket: str | None, timeout_s: float | None, as_json: bool, as_jsonl: bool
) -> int:
    """Wait until jobs have ended; the exit code tells how."""
    with client(socket) as service:
        for number in numbers:
            service.job(number)  # one that is not there is told at once
        return _ends(_waited_for(service, numbers, timeout_s), as_json, as_jsonl)


def _waited_for(service: Client, numbers: tuple[int, ...], timeout_s: float | None) -> list[JobInfo]:
    """All these jobs, ended; they have `timeout_s` seconds together."""
    if timeout_s is None:
        return [service.wait(number) for number in numbers]
    deadline_s, infos = time.monotonic() + timeout_s, []
    for number in numbers:
        try:
            infos.append(service.wait(number, timeout_s=max(deadline_s - time.monotonic(), 0.0)))
        except WaitTimeout:
            state = state_of(service.job(number))
            raise WaitTimeout(f"job {number} is {state} after {timeout_s:g} s") from None
    return infos


@verb
def cancel(numbers: tuple[int, ...], *, socket: str | None, now: bool, wait: bool, as_json: bool) -> int:
    """End jobs, and wait until their running blocks have been ended."""
    with client(socket) as service:
        infos = [service.cancel(number, now=now) for number in numbers]
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
