"""Chains of jobs: which ones a job follows, and whether they are done."""

from __future__ import annotations

from collections.abc import Mapping

from ....shared.errors import NoSuchJob, Refused
from ....shared.messages.records import JobInfo, State
from ...journal.records import JobRecord

Jobs = Mapping[int, JobRecord]


def predecessor(jobs: Jobs, item: int | str, owner: int) -> int:
    """The job that `item` names: by its number, or the newest of this name that `owner` has.

    Raises
    ------
    Refused
        If there is none, or it has ended otherwise than done.
    """
    if isinstance(item, int):
        if item not in jobs:
            raise no_such_job(item)
        info = jobs[item].info
    else:
        named = [r.info for r in jobs.values() if r.info.name == item and r.info.owner == owner]
        if not named:
            raise Refused(f"after: you have no job of the name {item!r}; `blockmill ls --all` lists all")
        info = max(named, key=lambda one: one.id)
    if info.ended and info.state != "done":
        raise Refused(
            f"after: job {info.id} ended as {in_words(info.state)}; "
            f"retry it first (`blockmill retry {info.id}`), or leave it out"
        )
    return info.id


def no_such_job(number: int) -> NoSuchJob:
    """The error for a number that no job has."""
    return NoSuchJob(f"there is no job {number}; `blockmill ls --all` lists those that are known")


def ancestors(jobs: Jobs, numbers: tuple[int, ...]) -> set[int]:
    """These jobs, and all that they follow."""
    found: set[int] = set()
    left = list(numbers)
    while left:
        number = left.pop()
        if number not in found:
            found.add(number)
            left += jobs[number].info.after if number in jobs else ()
    return found


def unfinished(jobs: Jobs, info: JobInfo) -> list[int]:
    """Those that a job follows which are not done; one that is no longer known was."""
    return [number for number in info.after if number in jobs and jobs[number].info.state != "done"]


def why_waiting(jobs: Jobs, info: JobInfo) -> str:
    """The reason why a queued job waits; empty if it waits for its turn alone."""
    before = unfinished(jobs, info)
    return f"waits for job {', '.join(map(str, before))}" if before else ""


def in_words(state: State) -> str:
    """A state as people write it."""
    return state.replace("_", " ")
