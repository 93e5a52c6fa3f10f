"""Facts about jobs, blocks and workers, as the service sends them to clients and keeps them in its journal.

Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["queued", "running", "cancelling", "done", "done_with_failures", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset(("done", "done_with_failures", "failed", "cancelled"))


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The service's facts about one job.

    Attributes
    ----------
    id : int
        Its number, never used again.
    name, label : str
    owner : int
        Numeric user id of the submitter.
    state : str
        One of `State`. Queued covers waiting for `after`, for its turn, and for being resumed.
    paused : bool
        No more blocks are started until it is resumed.
    paused_by : str
        "all, by USER" if all jobs were paused together.
    priority : int
        Higher goes first.
    after : tuple of int
        Jobs that must be done before this one starts.
    reason : str
        The reason for which it waits, or ended as it did.
    submitted_s, started_s, ended_s : float or None
        `started_s` of the first start, `ended_s` of the last end.
    runs : int
        Number of starts; retries and restarts of the service count.
    blocks : int or None
        Task blocks; None before it is planned.
    done, skipped, failed, running, retries : int
        Blocks: finished by now; of these, finished before this run; given up; in work. And the
        further attempts of this run.
    redone : int
        Blocks that were computed again although an earlier run had finished them.
    voxels, bytes_read, bytes_written : int
        Of this run.
    seconds : float
        Wall time of this run so far.
    eta_s : float or None
        Estimated time left.
    output : str
        Address of the output.
    seen : int
        Grows with each change, for `WaitJob`.
    """

    id: int
    name: str
    owner: int
    output: str
    submitted_s: float
    label: str = ""
    state: State = "queued"
    paused: bool = False
    paused_by: str = ""
    priority: int = 0
    after: tuple[int, ...] = ()
    reason: str = ""
    started_s: float | None = None
    ended_s: float | None = None
    runs: int = 0
    blocks: int | None = None
    done: int = 0
    skipped: int = 0
    failed: int = 0
    running: int = 0
    retries: int = 0
    redone: int = 0
    voxels: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    eta_s: float | None = None
    seen: int = 0

    @property
    def ended(self) -> bool:
        """True if the job is over."""
        return self.state in ENDED


class BlockFailure(msgspec.Struct, frozen=True):
    """A block that was given up: its number, its roi ``[start, stop)``, attempts, and the reason."""

    block: int
    start: tuple[int, ...]
    stop: tuple[int, ...]
    attempts: int
    reason: str


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a job's log.

    Attributes
    ----------
    time_s : float
    kind : {"job", "printed", "retry", "failed", "worker"}
        A change of the job's state; something that the operation printed; a block that is tried
        again; one that is given up; other news of workers.
    text : str
    worker : int or None
    block : tuple of int or None
        First corner of the block that it is about, in the voxels of the output.
    attempt : int or None
    """

    time_s: float
    text: str
    kind: Literal["job", "printed", "retry", "failed", "worker"] = "job"
    worker: int | None = None
    block: tuple[int, ...] | None = None
    attempt: int | None = None


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process, and the block that it is doing, if any, for how many seconds."""

    worker: int
    pid: int
    rss_bytes: int
    age_s: float
    tasks: int
    job: int | None = None
    block: tuple[int, ...] | None = None
    attempt: int | None = None
    busy_s: float = 0.0
    retiring: bool = False
