"""The verbs that look at the service: its jobs, its workers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from .... import __version__
from ....shared.errors import NoSuchJob, Refused, ServiceUnreachable
from ....shared.messages.records import BlockFailure, JobInfo, State, WorkerInfo
from ....shared.messages.service import ServiceInfo
from ...formatting.output import (
    ago,
    blocks_of,
    client,
    complain,
    duration,
    print_table,
    say,
    say_jobs,
    say_json,
    size,
    state_of,
    verb,
)
from ...service.client import Client

_REFRESH_S = 1.0
_MOST_FAILURES = 20
_WORKER_HEAD = ("WORKER", "PID", "MEMORY", "BLOCKS", "AGE", "JOB", "BLOCK", "")


@verb
def ls(
    *,
    socket: str | None,
    states: tuple[State, ...],
    label: str | None,
    everything: bool,
    limit: int,
    as_json: bool,
    as_jsonl: bool,
    watch: bool,
) -> int:
    """List jobs, active ones first."""
    with client(socket) as service:

        def show() -> None:
            jobs = service.jobs(*states, label=label, limit=1 << 31 if everything else limit)
            if as_jsonl:
                for info in jobs:
                    say_json(job=info)
            else:
                say_jobs(jobs, as_json)
                if not jobs and not as_json:
                    complain("no jobs; submit one with: blockmill submit JOB.yaml")

        _repeat(show, watch)
    return 0


def _repeat(show: Callable[[], None], again: bool) -> None:
    """Show once, or until Ctrl-C; on a terminal each time in the same place."""
    try:
        while again:
            if sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[J")
            show()
            time.sleep(_REFRESH_S)
    except KeyboardInterrupt:
        return
    show()


@verb
def status(
    numbers: tuple[int, ...], *, socket: str | None, watch: bool, as_json: bool, as_jsonl: bool
) -> int:
    """The service and its active jobs, or all that is known of some jobs."""
    with client(socket) as service:

        def show() -> None:
            if numbers:
                _status_of(service, numbers, as_json, as_jsonl)
            else:
                _status_of_service(service, as_json or as_jsonl)

        _repeat(show, watch)
    return 0


def _status_of_service(service: Client, as_json: bool) -> None:
    info, jobs = service.service(), service.jobs(limit=0)
    if as_json:
        say_json(service=info, jobs=jobs)
    else:
        say(_service_text(info))
        say_jobs(jobs, False)


def _status_of(service: Client, numbers: tuple[int, ...], as_json: bool, as_jsonl: bool) -> None:
    whole = as_json or as_jsonl
    found = [(service.job(number), _failures(service, number, whole)) for number in numbers]
    if as_json:
        say_json(jobs=[info for info, _ in found], failures={str(i.id): f for i, f in found})
        return
    for info, failures in found:
        if as_jsonl:
            say_json(job=info, failures=failures)
        else:
            _say_job(info, failures)


def _failures(service: Client, number: int, as_json: bool) -> list[BlockFailure]:
    """Blocks given up; of another user's job none are told."""
    try:
        return service.failures(number, limit=1 << 31 if as_json else _MOST_FAILURES)
    except NoSuchJob:
        raise
    except Refused as error:
        complain(str(error))
        return []


def _service_text(info: ServiceInfo) -> str:
    parts = [f"blockmill {info.version}, pid {info.pid}, up {duration(time.time() - info.started_s)}"]
    busy = f", {info.allowed} may be busy (memory is short)" if info.allowed < info.workers else ""
    parts.append(f"{info.workers} workers{busy}")
    if info.draining:
        parts.append("drained" if info.quiet else "draining")
    return "; ".join(parts)


def _say_job(info: JobInfo, failures: list[BlockFailure]) -> None:
    say(f"job {info.id}: {info.name}")
    for key, text in _facts(info):
        if text:
            say(f"  {key:<10}{text}")
    for failure in failures:
        say(f"  failed    block {list(failure.start)}-{list(failure.stop)} after {failure.attempts} tries:")
        for line in failure.reason.splitlines():
            say(f"            {line}")
    if (more := info.failed - len(failures)) > 0:
        say(f"            and {more} more; `blockmill status {info.id} --json` has all")


def _facts(info: JobInfo) -> list[tuple[str, str]]:
    rate = f", {size(info.bytes_written / info.seconds)}/s" if info.seconds else ""
    runs = f"{info.runs}" + (f", {info.redone} blocks done again" if info.redone else "")
    found = f", {info.skipped} of them found finished" if info.skipped else ""
    return [
        ("state", state_of(info) + (f": {info.reason}" if info.reason else "")),
        ("blocks", f"{blocks_of(info)}{found}" + (f", {info.running} at work" if info.running else "")),
        ("left", duration(info.eta_s) if info.eta_s is not None and not info.ended else ""),
        ("output", info.output),
        ("written", f"{size(info.bytes_written)} in {duration(info.seconds)}{rate}" if info.runs else ""),
        ("retries", str(info.retries or "")),
        ("runs", runs),
        ("priority", str(info.priority or "")),
        ("label", info.label),
        ("after", ", ".join(map(str, info.after))),
        ("submitted", ago(info.submitted_s)),
        ("ended", ago(info.ended_s) if info.ended_s else ""),
    ]


@verb
def workers(*, socket: str | None, as_json: bool) -> int:
    """List the worker processes."""
    with client(socket) as service:
        found = service.workers()
    if as_json:
        say_json(workers=found)
    else:
        _say_workers(found)
    return 0


def _say_workers(found: list[WorkerInfo]) -> None:
    print_table(_WORKER_HEAD, [_worker_row(info) for info in found])


def _worker_row(info: WorkerInfo) -> tuple[str, ...]:
    at = "" if info.block is None else f"{','.join(map(str, info.block))} for {duration(info.busy_s)}"
    return (
        str(info.worker),
        str(info.pid),
        size(info.rss_bytes),
        str(info.tasks),
        duration(info.age_s),
        "-" if info.job is None else str(info.job),
        at,
        "ends soon" if info.retiring else "",
    )


@verb
def set_workers(count: int, *, socket: str | None, as_json: bool) -> int:
    """Change the number of worker processes."""
    with client(socket) as service:
        info = service.set_workers(count)
    if as_json:
        say_json(service=info)
    else:
        say(f"{info.workers} workers")
    return 0


def _say_service(info: ServiceInfo, as_json: bool) -> None:
    if as_json:
        say_json(service=info)
    else:
        say(_service_text(info))


@verb
def drain(*, socket: str | None, wait: bool, as_json: bool) -> int:
    """Let running blocks end and start no more."""
    with client(socket) as service:
        _say_service(service.drain(wait=wait), as_json)
    return 0


@verb
def top(*, socket: str | None, once: bool, as_json: bool, as_jsonl: bool) -> int:
    """Show workers and active jobs, live on a terminal and as lines of JSON."""
    live = as_jsonl or (sys.stdout.isatty() and not as_json)
    with client(socket) as service:
        _repeat(lambda: _top(service, as_json or as_jsonl), live and not once)
    return 0


def _top(service: Client, as_json: bool) -> None:
    info, jobs, found = service.service(), service.jobs(limit=0), service.workers()
    if as_json:
        say_json(service=info, jobs=jobs, workers=found)
        return
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    say(f"{_service_text(info)}; load {load}")
    _say_workers(found)
    say_jobs(jobs, False)


@verb
def version(*, socket: str | None, as_json: bool) -> int:
    """The version of this command, and of the service if one answers."""
    with client(socket) as service:
        try:
            info = service.service()
        except ServiceUnreachable:
            info = None
    theirs = None if info is None else info.version
    if as_json:
        say_json(version=__version__, service=theirs)
    else:
        say(f"blockmill {__version__}" + ("" if info is None else f", service {theirs} (pid {info.pid})"))
    if theirs not in (None, __version__):
        complain(f"the service is {theirs}, this command {__version__}: restart the service")
    return 0
