"""Builders of requests to the service, for both clients."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...shared.errors import JobError
from ...shared.messages import service as p

if TYPE_CHECKING:
    from ...shared.jobs.staged import AnyJob

PATIENCE_S = 60.0
"""Time for which a client that waits for a job tolerates a missing service, for instance during a restart."""
RETRY_S = 0.2
_WAIT_S = 10.0


def submit_request(
    job: AnyJob | Mapping[str, Any] | str | Path,
    priority: int | None,
    label: str | None,
    after: int | str | Iterable[int | str],
    overwrite: bool,
    keep_finished: bool,
    file: str | os.PathLike[str] | None = None,
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
    file : path, optional
        The job file that `job` was read from.

    Returns
    -------
    SubmitJob

    Raises
    ------
    JobError
        If the job is wrong.
    """
    content, path = _content_and_file(job)
    follows = (after,) if isinstance(after, int | str) else tuple(after)
    if not all(isinstance(item, int | str) and not isinstance(item, bool) for item in follows):
        raise JobError(f"after: {follows!r} are not all numbers or names of jobs")
    return p.SubmitJob(
        job=content,
        file=path if file is None else _absolute(file),
        token=uuid.uuid4().hex,
        priority=priority,
        label=label,
        after=follows,
        overwrite=overwrite,
        keep_finished=keep_finished,
    )


def _content_and_file(job: AnyJob | Mapping[str, Any] | str | Path) -> tuple[dict[str, Any], str]:
    """A job as plain JSON with absolute paths, and the file that it was read from, if that is known."""
    from ...shared.jobs.job_file import job_of, load_job  # late: most verbs of the command line need no job

    path = ""
    if isinstance(job, str | Path):
        path = str(Path(job).absolute())
        job = load_job(job)
    elif isinstance(job, Mapping):
        job = job_of(job)
    # The service may run in another folder, and be of a version that does not know each key: those that say
    # nothing new are left out.
    return job.resolved(Path.cwd()).model_dump(mode="json", exclude_defaults=True), path


def retry_request(
    number: int,
    failed_only: bool,
    keep_finished: bool,
    edited: AnyJob | Mapping[str, Any] | str | Path | None,
    file: str | os.PathLike[str] | None = None,
) -> p.RetryJob:
    """Build the request that queues a job again.

    Parameters
    ----------
    number : int
        The job's number.
    failed_only, keep_finished : bool
        As for `AsyncClient.retry`.
    edited : path, mapping or Job, or None
        What to do from now on; None: what was submitted.
    file : path, optional
        The job file that `edited` was read from.

    Returns
    -------
    RetryJob

    Raises
    ------
    JobError
        If the edited job is wrong.
    """
    content, path = (None, "") if edited is None else _content_and_file(edited)
    return p.RetryJob(
        id=number,
        failed_only=failed_only,
        keep_finished=keep_finished,
        job=content,
        file=path if file is None else _absolute(file),
    )


def _absolute(file: str | os.PathLike[str]) -> str:
    return "" if file == "-" else str(Path(file).absolute())


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
