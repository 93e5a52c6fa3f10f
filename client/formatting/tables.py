"""Jobs, workers and the service for people: tables and lines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...shared.units import format_count, format_duration, format_size
from .exit_codes import FAILED
from .output import complain, say_json
from .table import print_table

if TYPE_CHECKING:
    from ...shared.messages.records import JobInfo, WorkerInfo
    from ...shared.messages.service import ServiceInfo

_JOB_HEAD = ("ID", "STATE", "BLOCKS", "LEFT", "NAME", "SINCE", "")
_WORKER_HEAD = ("WORKER", "PID", "MEMORY", "BLOCKS", "AGE", "JOB", "BLOCK", "")


def say_jobs(jobs: Iterable[JobInfo], as_json: bool) -> None:
    """Print jobs as a document or as a table.

    Parameters
    ----------
    jobs : iterable of JobInfo
    as_json : bool
        One JSON document; else a table, or nothing if there are no jobs.
    """
    jobs = list(jobs)
    if as_json:
        say_json(jobs=jobs)
    elif jobs:
        print_table(_JOB_HEAD, [_job_row(info) for info in jobs], name="NAME")


def _job_row(info: JobInfo) -> tuple[str, ...]:
    since_s = info.ended_s or info.started_s or info.submitted_s
    note = info.reason.partition("\n")[0] if info.state not in ("done", "running") else ""
    if info.label:
        note = f"[{info.label}] {note}"
    left = "" if info.eta_s is None or info.ended else format_duration(info.eta_s)
    return str(info.id), state_of(info), blocks_of(info), left, info.name, ago(since_s), note


def state_of(info: JobInfo) -> str:
    """The state of a job in words."""
    state = info.state.replace("_", " ")
    if info.ended or not info.paused:
        return state
    return f"{state}, paused ({info.paused_by})" if info.paused_by else f"{state} (paused)"


def waiting_text(info: JobInfo) -> str:
    """What a job waits for that does not come by itself or soon, in words; else an empty text."""
    if info.ended:
        return ""
    if info.paused:
        verb = "resume --all" if info.paused_by else f"resume {info.id}"
        return f"job {info.id} waits: {state_of(info)}; to let it go on: blockmill {verb}"
    return f"job {info.id} is queued: {info.reason}" if info.state == "queued" and info.reason else ""


def blocks_of(info: JobInfo) -> str:
    """The numbers of finished, all and failed blocks in words."""
    if info.blocks is None:
        return "-"
    failed = f" ({info.failed} failed)" if info.failed else ""
    return f"{info.done}/{info.blocks}{failed}"


def ago(time_s: float) -> str:
    """The time since `time_s` (seconds since 1970) in one unit, such as "5 min ago"."""
    return f"{format_duration(max(time.time() - time_s, 0.0))} ago"


def say_ends(infos: Sequence[JobInfo], as_json: bool, as_jsonl: bool = False) -> int:
    """Print how jobs have ended.

    Parameters
    ----------
    infos : sequence of JobInfo
        Jobs that have ended.
    as_json : bool
        Also one JSON document on stdout.
    as_jsonl : bool
        Also a JSON document for each job on stdout.

    Returns
    -------
    int
        Exit code for all of them.
    """
    if as_json:
        say_json(jobs=infos)
    if as_jsonl:
        for info in infos:
            say_json(job=info)
    for info in infos:
        complain_of_end(info)
    return max(result_code(info) for info in infos)


def complain_of_end(info: JobInfo) -> None:
    """Print on stderr how a job ended and what to do next, unless it is done."""
    if info.state == "done":
        return
    why = f": {info.reason}" if info.reason else ""
    complain(f"job {info.id} ({info.name}) {state_of(info)}{why}")
    if info.failed:
        complain(f"see `blockmill status {info.id}`; try again: `blockmill retry {info.id}`")


def result_code(info: JobInfo) -> int:
    """Return the exit code of a verb that has waited for this job."""
    return 0 if info.state == "done" else FAILED


def say_workers(workers: Sequence[WorkerInfo]) -> None:
    """Print worker processes as a table."""
    print_table(_WORKER_HEAD, [_worker_row(info) for info in workers])


def _worker_row(info: WorkerInfo) -> tuple[str, ...]:
    at = "" if info.block is None else f"{','.join(map(str, info.block))} for {format_duration(info.busy_s)}"
    return (
        str(info.worker),
        str(info.pid),
        format_size(info.rss_bytes),
        str(info.tasks),
        format_duration(info.age_s),
        "-" if info.job is None else str(info.job),
        at,
        "ends soon" if info.retiring else "",
    )


def service_text(info: ServiceInfo) -> str:
    """The state of the service in a line."""
    clauses = [
        f"blockmill {info.version}, pid {info.pid}, up {format_duration(time.time() - info.started_s)}"
    ]
    busy = f", {info.allowed} may be busy (memory is short)" if info.allowed < info.workers else ""
    clauses.append(f"{format_count(info.workers, 'worker')}{busy}")
    if info.paused:
        clauses.append(f"paused ({info.paused})")
    if info.draining:
        clauses.append("drained" if info.quiet else "draining")
    return "; ".join(clauses)
