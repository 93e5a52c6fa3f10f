"""Job files that were edited since their job was submitted, for `retry`."""

from __future__ import annotations

from ...shared.errors import Refused
from ...shared.jobs.job import Job
from ...shared.messages.records import JobInfo
from ...shared.messages.service import RetryJob
from .access import Rights
from .jobs.job_table import EditedJob


def edited_job(request: RetryJob, info: JobInfo, rights: Rights) -> EditedJob | None:
    """What a job is to do from now on, checked like a new one; None: what was submitted.

    Parameters
    ----------
    request : RetryJob
    info : JobInfo
        The job, which keeps its name, label, priority and predecessors.
    rights : Rights

    Returns
    -------
    EditedJob or None

    Raises
    ------
    JobError, Refused
        If the edited job is wrong, names files that it may not touch, or has another output.
    """
    if request.job is None:
        return None
    job = Job.of(request.job)
    files = rights.check_paths(job, info.owner, follow_links=False)
    if job.output.address != info.output:
        raise Refused(
            f"output: job {info.id} writes {info.output}, the edited job {job.output.address}; name the same "
            "output, or submit the file as a new job"
        )
    return EditedJob(job.model_dump(mode="json"), request.file, files)
