"""A job as the service keeps it: in memory, and in the journal."""

from __future__ import annotations

from typing import Any

import msgspec

from ...shared.messages.records import JobInfo


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that must survive a restart of the service.

    Attributes
    ----------
    info : JobInfo
        The part that clients see. Its `running`, `eta_s` and `seen` are of the moment and begin anew.
    spec : dict
        The job as ``Job.model_dump(mode="json")`` gives it, all paths absolute.
    token : str
        The name that the client gave to its submission.
    overwrite : bool
        The first run replaces an output that exists.
    failed_only : bool
        Its run is for the failed blocks of earlier runs alone.
    """

    info: JobInfo
    spec: dict[str, Any]
    token: str
    overwrite: bool = False
    failed_only: bool = False


def order_to_show(info: JobInfo) -> tuple[int, int, int]:
    """Sort key of jobs that have not ended, active ones first."""
    rank = {"running": 0, "cancelling": 1, "queued": 2}[info.state]
    return rank, -info.priority, info.id


def age_to_show(info: JobInfo) -> tuple[float, int]:
    """Sort key of ended jobs, oldest first."""
    return info.ended_s or 0.0, info.id


class BlockRow(msgspec.Struct, frozen=True, gc=False):
    """A block that came to its end in a run.

    Attributes
    ----------
    job, block : int
    done : bool
        False: given up, for `reason`.
    skipped : bool
        It was found finished, and nothing was computed.
    attempts : int
        Leases that it had in this run.
    seconds : float
        Of the attempt that brought it to its end.
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
