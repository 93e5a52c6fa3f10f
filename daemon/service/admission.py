"""What a new or edited job must keep to be taken in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...shared.config.model import Limits
from ...shared.errors import Refused
from ...shared.jobs.job_file import job_of
from ...shared.jobs.staged import AnyJob
from ...shared.messages.records import JobInfo
from ...shared.schema.fields import INT64_MAX, INT64_MIN
from .access import Rights
from .jobs.clashes import JobFiles
from .jobs.job_table import JobTable


def check_room(limits: Limits, table: JobTable, owner: int) -> None:
    """Check that one more job of a user may wait.

    Parameters
    ----------
    limits : Limits
    table : JobTable
    owner : int
        User number.

    Raises
    ------
    Refused
    """
    total, own = table.open_jobs(owner)
    if total >= limits.queue:
        raise Refused(f"{total} jobs have not ended, the most allowed (limits.queue); try again later")
    if own >= limits.jobs_per_user:
        raise Refused(
            f"{own} jobs of yours have not ended, the most allowed (limits.jobs_per_user); "
            "wait for some of them"
        )


def check_priority(limits: Limits, rights: Rights, uid: int, priority: int) -> None:
    """Check that a user may give a job this priority: lower ones are free, higher ones for admins alone.

    Parameters
    ----------
    limits : Limits
    rights : Rights
    uid : int
        The user's number.
    priority : int

    Raises
    ------
    Refused
    """
    if not INT64_MIN <= priority <= INT64_MAX:
        raise Refused(f"priority: {priority} does not fit into 64 bits")
    if priority > limits.priority and not rights.is_admin(uid):
        raise Refused(
            f"priority: {priority} is above {limits.priority}, the most that users may give "
            "(limits.priority); ask an admin of the service for more, or give your other jobs less"
        )


def check_edited(edited: Mapping[str, Any], info: JobInfo, rights: Rights) -> tuple[AnyJob, JobFiles]:
    """Check what a job is to do from now on, like a new job.

    Parameters
    ----------
    edited : mapping
        As `job_of` takes it.
    info : JobInfo
        The job, which keeps its name, label, priority and predecessors.
    rights : Rights

    Returns
    -------
    Job, JobFiles
        The edited job, and the files that it reads and writes.

    Raises
    ------
    JobError, Refused
        If the edited job is wrong, names files that it may not touch, or has another output.
    """
    job = job_of(edited)
    files = rights.check_paths(job, info.owner, follow_links=False)
    if job.output.address != info.output:
        raise Refused(
            f"output: job {info.id} writes {info.output}, the edited job {job.output.address}; name the same "
            "output, or submit the file as a new job"
        )
    return job, files
