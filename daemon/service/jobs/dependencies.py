"""Dependencies between jobs: the jobs that a job follows, and those of them that are not done."""

from __future__ import annotations

from collections.abc import Mapping

from ....shared.errors import NoSuchJob, Refused
from ....shared.messages.records import JobInfo, State
from ....shared.outside_text import clean
from .job_store import JobStore


def predecessors(jobs: JobStore, after: tuple[int | str, ...], owner: int) -> tuple[int, ...]:
    """The numbers of the jobs that the items of ``after`` name, each once.

    Parameters
    ----------
    jobs : JobStore
    after : tuple of int or str
        A number each, or a name: that of the owner's newest job of this name.
    owner : int
        User number.

    Returns
    -------
    tuple of int

    Raises
    ------
    NoSuchJob, Refused
        If there is none, or it has ended otherwise than done.
    """
    newest = jobs.newest_named(owner, {item for item in after if isinstance(item, str)})
    return tuple(dict.fromkeys(_predecessor(jobs, item, newest) for item in dict.fromkeys(after)))


def _predecessor(jobs: JobStore, item: int | str, newest: Mapping[str, int]) -> int:
    if isinstance(item, int):
        if item not in jobs:
            raise no_such_job(item)
        info = jobs[item].info
    elif item not in newest:
        raise Refused(
            f"after: you have no job of the name {clean(item, 200)!r}; `blockmill ls --all` lists all"
        )
    else:
        info = jobs[newest[item]].info
    if info.ended and info.state != "done":
        raise Refused(
            f"after: job {info.id} ended as {state_text(info.state)}; "
            f"retry it first (`blockmill retry {info.id}`), or leave it out"
        )
    return info.id


def no_such_job(number: int) -> NoSuchJob:
    """The error for a number that no job has."""
    return NoSuchJob(f"there is no job {number}; `blockmill ls --all` lists those that are known")


def ancestors(jobs: JobStore, numbers: tuple[int, ...]) -> set[int]:
    """These jobs and all jobs that they follow, directly or not.

    Parameters
    ----------
    jobs : JobStore
    numbers : tuple of int

    Returns
    -------
    set of int
    """
    collected: set[int] = set()
    pending = list(numbers)
    while pending:
        number = pending.pop()
        if number not in collected:
            collected.add(number)
            pending += jobs.after_of(number)
    return collected


def unfinished(jobs: JobStore, info: JobInfo) -> list[int]:
    """The jobs that a job follows and that are not done; a job that was pruned counts as done.

    Parameters
    ----------
    jobs : JobStore
    info : JobInfo
        The job that follows them.

    Returns
    -------
    list of int
    """
    return [number for number in info.after if number in jobs and not jobs.is_done(number)]


def waiting_reason(jobs: JobStore, info: JobInfo) -> str:
    """The reason why a queued job waits; empty if it only waits for its turn.

    Parameters
    ----------
    jobs : JobStore
    info : JobInfo

    Returns
    -------
    str
    """
    before = unfinished(jobs, info)
    return f"waits for job {', '.join(map(str, before))}" if before else ""


def state_text(state: State) -> str:
    """A state in words, for people."""
    return state.replace("_", " ")
