"""``blockmill status``: all about some jobs, or the service as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....shared.errors import NoSuchJob, Refused
from ....shared.units import format_count, format_duration, format_rate, format_size
from ...formatting.output import complain, say, say_json
from ...formatting.tables import ago, blocks_of, say_jobs, service_text, state_of
from .. import options
from ..groups import JOBS, verb
from ..watching import repeat

if TYPE_CHECKING:
    from ....shared.messages.records import BlockFailure, JobInfo
    from ...service.client import Client

_MAX_FAILURES = 20


@verb(JOBS, short_help="All about some jobs, or about the service.")
@options.jobs()
@options.label
@options.watch
@options.as_jsonl
@options.as_json
@options.color
@options.socket
def command(
    jobs: tuple[int | str, ...],
    label: str | None,
    watch: bool,
    as_jsonl: bool,
    as_json: bool,
    socket: str | None,
) -> int:
    """All about some jobs; without a job: the service and its active jobs."""
    from ..job_names import select

    with options.client(socket) as service:
        numbers = select(service, jobs, label=label) if jobs or label is not None else []

        def show() -> None:
            if numbers:
                _show_jobs(service, numbers, as_json, as_jsonl)
            else:
                _show_service(service, as_json or as_jsonl)

        return repeat(show, watch)


def _show_service(service: Client, as_json: bool) -> None:
    info, jobs = service.service(), service.jobs(limit=0)
    if as_json:
        say_json(service=info, jobs=jobs)
    else:
        say(service_text(info))
        say_jobs(jobs, False)


def _show_jobs(service: Client, numbers: list[int], as_json: bool, as_jsonl: bool) -> None:
    unlimited = as_json or as_jsonl
    jobs = [(service.job(number), _failures(service, number, unlimited)) for number in numbers]
    if as_json:
        say_json(jobs=[info for info, _ in jobs], failures={str(i.id): f for i, f in jobs})
        return
    for info, failures in jobs:
        if as_jsonl:
            say_json(job=info, failures=failures)
        else:
            _say_job(info, failures)


def _failures(service: Client, number: int, unlimited: bool) -> list[BlockFailure]:
    """The failed blocks of a job; an empty list for another user's job."""
    try:
        return service.failures(number, limit=1 << 31 if unlimited else _MAX_FAILURES)
    except NoSuchJob:
        raise
    except Refused as error:
        complain(str(error))
        return []


def _say_job(info: JobInfo, failures: list[BlockFailure]) -> None:
    say(f"job {info.id}: {info.name}")
    for key, text in _facts(info):
        if text:
            say(f"  {key:<10}{text}")
    for failure in failures:
        attempts = "1 try" if failure.attempts == 1 else f"{failure.attempts} tries"
        say(f"  failed    block {list(failure.start)}-{list(failure.stop)} after {attempts}:")
        for line in failure.reason.splitlines():
            say(f"            {line}")
    if (more := info.failed - len(failures)) > 0:
        say(f"            and {more} more; `blockmill status {info.id} --json` has all")


def _facts(info: JobInfo) -> list[tuple[str, str]]:
    written = f"{format_size(info.bytes_written)} in {format_duration(info.seconds)}"
    rate = f", {format_rate(info.bytes_written, info.seconds)}" if info.seconds else ""
    runs = f"{info.runs}" + (f", {format_count(info.redone, 'block')} done again" if info.redone else "")
    skipped = f", {info.skipped} of them found finished" if info.skipped else ""
    return [
        ("state", state_of(info) + (f": {info.reason}" if info.reason else "")),
        ("blocks", f"{blocks_of(info)}{skipped}" + (f", {info.running} at work" if info.running else "")),
        ("left", format_duration(info.eta_s) if info.eta_s is not None and not info.ended else ""),
        ("output", info.output),
        ("written", f"{written}{rate}" if info.runs else ""),
        ("retries", str(info.retries or "")),
        ("runs", runs),
        ("priority", str(info.priority or "")),
        ("label", info.label),
        ("after", ", ".join(map(str, info.after))),
        ("submitted", ago(info.submitted_s)),
        ("ended", ago(info.ended_s) if info.ended_s else ""),
    ]
