"""Jobs as people and programs name them: by number, by name, or as the `JobInfo` that they have.

The rule for names: a name means the caller's own jobs of that name; those of others if there is none. Where
a job is only looked at, the newest that has not ended is meant, else the newest. Where something is
done to it, it must be the only one to which that can be done.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Literal

from ...shared.errors import NoSuchJob, Refused
from ...shared.messages.records import ENDED, JobInfo

JobReference = int | str | JobInfo
"""A number, a name, or a job itself."""
JobReferences = Sequence[int] | Sequence[JobInfo] | list[str] | list[JobReference] | tuple[JobReference, ...]
"""Several jobs; a bare text is none of these."""
JobFilter = Literal["all", "active", "retryable", "ended"]
"""Jobs to which a verb applies; all: it only looks at them."""

_WORDS: dict[JobFilter, str] = {
    "all": "",
    "active": " that has not ended",
    "retryable": " that has ended otherwise than done",
    "ended": " that has ended",
}
_MOST_LISTED = 10


def applies(info: JobInfo, job_filter: JobFilter) -> bool:
    """Test if a verb for some jobs applies to this one.

    Parameters
    ----------
    info : JobInfo
    job_filter : JobFilter

    Returns
    -------
    bool
    """
    if job_filter == "active":
        return info.state not in ENDED
    if job_filter == "retryable":
        return info.state in ENDED and info.state != "done"
    return job_filter == "all" or info.state in ENDED


def number_of(job: JobReference) -> int | None:
    """The number of a job; None if it is given by its name.

    Raises
    ------
    TypeError
        If it is nothing by which a job can be named.
    """
    if isinstance(job, JobInfo):
        return job.id
    if isinstance(job, str):
        return None
    try:
        if isinstance(job, bool):
            raise TypeError
        return operator.index(job)
    except TypeError:
        raise TypeError(
            f"a job is given by its number, its name or its JobInfo, not by {type(job).__name__} {job!r}"
        ) from None


def chosen(name: str, jobs: Sequence[JobInfo], job_filter: JobFilter) -> JobInfo:
    """The job that a name means; see the rule above.

    Parameters
    ----------
    name : str
    jobs : sequence of JobInfo
        Those of that name.
    job_filter : JobFilter
        Jobs to which the verb applies.

    Returns
    -------
    JobInfo
        One to which the verb does not apply if no other has the name: the service then says why.

    Raises
    ------
    NoSuchJob
        If there is none.
    Refused
        If a verb that changes something applies to several.
    """
    if not jobs:
        raise NoSuchJob(
            f"there is no job of the name {name}; `blockmill ls --all` lists those that are known"
        )
    fitting = [info for info in jobs if applies(info, job_filter)] or jobs[-1:]
    if job_filter == "all":
        return max(fitting, key=lambda info: (not info.ended, info.id))
    if len(fitting) > 1:
        raise Refused(
            f"{name} is the name of jobs {_listed(fitting)}; give the number of the one that you mean"
        )
    return fitting[0]


def labelled(label: str | None, jobs: Sequence[JobInfo], job_filter: JobFilter) -> list[JobInfo]:
    """The jobs to which a verb applies, of those with a label, or of all.

    Parameters
    ----------
    label : str or None
        For the message; None: all jobs were asked for.
    jobs : sequence of JobInfo
    job_filter : JobFilter

    Returns
    -------
    list of JobInfo

    Raises
    ------
    NoSuchJob
        If there is none.
    """
    if fitting := [info for info in jobs if applies(info, job_filter)]:
        return fitting
    about = "" if label is None else f" with the label {label}"
    raise NoSuchJob(f"you have no job{about}{_WORDS[job_filter]}")


def _listed(jobs: Sequence[JobInfo]) -> str:
    shown = ", ".join(str(info.id) for info in jobs[:_MOST_LISTED])
    more = len(jobs) - _MOST_LISTED
    return f"{shown} and {more} more" if more > 0 else shown
