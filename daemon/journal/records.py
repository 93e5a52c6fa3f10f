"""The service's records of a job, of a block's end and of a failed attempt, as the journal keeps them."""

from __future__ import annotations

from typing import Any

import msgspec

from ...shared.messages.records import JobInfo


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the service keeps it in memory and in the journal: what must survive a restart.

    Attributes
    ----------
    info : JobInfo
        The fields that clients see. `running`, `eta_s` and `seen` are reset by a restart.
    spec : dict
        The job as ``Job.model_dump(mode="json")`` gives it, all paths absolute.
    token : str
        The name that the client gave to its submission.
    overwrite : bool
        True if the first run replaces an output that exists.
    failed_only : bool
        True if the run is for the failed blocks of earlier runs alone.
    keep_finished : bool
        True if finished blocks stay, though the user's code has changed since.
    file : str
        The job file on the submitter's side, if it came from one.
    """

    info: JobInfo
    spec: dict[str, Any]
    token: str
    overwrite: bool = False
    failed_only: bool = False
    keep_finished: bool = False
    file: str = ""


def order_to_show(info: JobInfo) -> tuple[int, int, int]:
    """Sort key of jobs that have not ended, active ones first."""
    rank = {"running": 0, "cancelling": 1, "queued": 2}[info.state]
    return rank, -info.priority, info.id


class BlockRow(msgspec.Struct, frozen=True, gc=False):
    """A block that came to its end in a run.

    Attributes
    ----------
    job, block : int
    done : bool
        False if it was given up, for `reason`.
    skipped : bool
        True if it was finished before, and nothing was computed.
    attempts : int
        Number of leases in this run.
    seconds : float
        Duration of the last attempt.
    bytes_read, bytes_written : int
    start, stop : tuple of int
        Its roi, kept for blocks given up; else empty.
    """

    job: int
    block: int
    done: bool
    skipped: bool = False
    attempts: int = 1
    seconds: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    reason: str = ""
    start: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()


class AttemptRow(msgspec.Struct, frozen=True, gc=False):
    """An attempt at a block that failed, with the full text in `reason`."""

    job: int
    block: int
    attempt: int
    worker: int
    time_s: float
    reason: str
    memory: bool = False
