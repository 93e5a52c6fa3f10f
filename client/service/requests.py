"""Builders of requests to the service, for both clients."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...shared.errors import JobError
from ...shared.messages import service as p

if TYPE_CHECKING:
    from ...shared.jobs.job import Job

PATIENCE_S = 60.0
"""Time for which a client that waits for a job tolerates a missing service, for instance during a restart."""
RETRY_S = 0.2
_WAIT_S = 10.0


def submit_request(
    job: Job | Mapping[str, Any] | str | Path,
    priority: int | None,
    label: str | None,
    after: int | str | Iterable[int | str],
    overwrite: bool,
    keep_finished: bool,
) -> p.SubmitJob:
    """Build the request that submits a job.

    Parameters
    ----------
    job : path, mapping or Job
        A job file, its content (paths are taken from the current folder), or a job.
    priority : int or None
        None: the priority in the job.
    label : str or None
    after : int, str or several
        Numbers or names of jobs that must be done before.
    overwrite : bool
        Replace an output that exists.
    keep_finished : bool
        Keep finished blocks, though the user's code has changed since.

    Returns
    -------
    SubmitJob

    Raises
    ------
    JobError
        If the job is wrong.
    """
    from ...shared.jobs.job import Job, load_job  # late: most verbs of the command line need no job

    if isinstance(job, str | Path):
        job = load_job(job)
    elif not isinstance(job, Job):
        job = Job.of(job)
    job = job.resolved(Path.cwd())  # the service may run in another folder
    follows = (after,) if isinstance(after, int | str) else tuple(after)
    if not all(isinstance(item, int | str) and not isinstance(item, bool) for item in follows):
        raise JobError(f"after: {follows!r} are not all numbers or names of jobs")
    return p.SubmitJob(
        job=job.model_dump(mode="json"),
        token=uuid.uuid4().hex,
        priority=priority,
        label=label,
        after=follows,
        overwrite=overwrite,
        keep_finished=keep_finished,
    )


def wait_request(number: int, seen: int, left_s: float | None) -> p.WaitJob:
    """Build the request that waits for a change of a job.

    Parameters
    ----------
    number : int
        The job's number.
    seen : int
        Number of the last state that the client has; -1: none.
    left_s : float or None
        Longest wait in seconds; None: no limit.

    Returns
    -------
    WaitJob
    """
    wait_s = _WAIT_S if left_s is None else max(min(_WAIT_S, left_s), 0.0)
    return p.WaitJob(id=number, seen=seen, wait_s=wait_s)


def log_request(number: int, offset: int, follow: bool) -> p.ReadLog:
    """Build the request for lines of a log.

    Parameters
    ----------
    number : int
        The job's number.
    offset : int
        As for `AsyncClient.logs`.
    follow : bool
        Wait for lines if there are none yet.

    Returns
    -------
    ReadLog
    """
    return p.ReadLog(id=number, offset=offset, wait_s=_WAIT_S if follow else 0.0)


def wait_of(request: p.Request[p.R]) -> float:
    """Return the longest time in seconds for which the service may hold the answer back."""
    return getattr(request, "wait_s", 0.0)
