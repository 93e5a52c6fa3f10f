"""The jobs of a journal when it is opened; one whose record can't be read is put aside, the others go on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec

from ...shared.messages.records import ENDED, JobInfo, State
from .records import JobRecord

_decoder = msgspec.json.Decoder(JobRecord)


@dataclass(frozen=True, slots=True)
class LoadedJournal:
    """The content of a journal when it is opened.

    Attributes
    ----------
    jobs : list of JobRecord
        One that can't be read has an empty spec, and the reason in its `info`.
    last_id : int
    paused_all : str
        As in `JobInfo.paused_by`; empty: not all jobs are paused.
    unreadable : list of int
        The jobs that can't be read.
    """

    jobs: list[JobRecord]
    last_id: int
    paused_all: str
    unreadable: list[int] = field(default_factory=list)


def load(facts: dict[str, Any], rows: Iterable[tuple[Any, ...]]) -> LoadedJournal:
    """The content of an opened journal.

    Parameters
    ----------
    facts : dict
        Those of the journal by name.
    rows : iterable of tuple
        Number, token, state, time of end and record of each job.

    Returns
    -------
    LoadedJournal
    """
    numbers = {name: value for name, value in facts.items() if type(value) is int}
    jobs, unreadable = [], []
    for number, token, state, ended_s, content in rows:
        try:
            jobs.append(_decode(number, content))
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            jobs.append(_put_aside(number, token, state, ended_s, content, str(error)))
            unreadable.append(number)
    return LoadedJournal(jobs, numbers.get("last_id", 0), _paused_all(facts), unreadable)


def _paused_all(facts: dict[str, Any]) -> str:
    """Who has paused all jobs; "all" where an older version has recorded a number."""
    paused = facts.get("paused_all")
    return paused if isinstance(paused, str) else "all" if paused else ""


def _decode(number: int, content: Any) -> JobRecord:
    job_record = _decoder.decode(content)
    if job_record.info.id != number:
        raise ValueError(f"it is of job {job_record.info.id}")
    return job_record


def _put_aside(number: int, token: Any, state: Any, ended_s: Any, content: Any, error: str) -> JobRecord:
    """A record in the place of one that can't be read, with what can be told of it."""
    told = _told(content)
    over = state in ENDED and state in get_args(State)
    info = JobInfo(
        id=number,
        name=told.get("name", "unreadable"),
        owner=told.get("owner", 0),
        output=told.get("output", ""),
        submitted_s=0.0,
        # One that had not ended does so when the others are there: jobs may follow it.
        state=state if over else "queued",
        ended_s=(ended_s if isinstance(ended_s, float) else time.time()) if over else None,
        reason=f"its record in the journal can't be read ({error}), so it was put aside; submit it again",
    )
    return JobRecord(info=info, spec={}, token=token if isinstance(token, str) else f"unreadable-{number}")


def _told(content: Any) -> dict[str, Any]:
    """Name, owner and output in a record of another shape, as far as they are there."""
    try:
        info = msgspec.json.decode(content)["info"]
        kinds = {"name": str, "owner": int, "output": str}
        return {key: info[key] for key, kind in kinds.items() if type(info.get(key)) is kind}
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
