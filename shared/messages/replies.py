"""The replies of the service. Times are seconds since 1970, UTC.

A client of an earlier version must be able to read them: a later field has a default, and is ignored there.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .records import BlockFailure, JobInfo, LogLine, WorkerInfo


class Reply(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Base of all replies."""


class ServiceInfo(Reply, frozen=True, kw_only=True):
    """The service itself.

    `quiet` means that no block runs and none waits to be merged; `paused` is "all, by USER" while all jobs
    are paused, else empty.
    """

    version: str
    pid: int
    workers: int
    allowed: int
    started_s: float
    draining: bool
    quiet: bool
    jobs: int
    state_dir: str
    paused: str = ""


class Jobs(Reply, frozen=True, kw_only=True):
    """Jobs, active ones first."""

    jobs: tuple[JobInfo, ...]


class OneJob(Reply, frozen=True, kw_only=True):
    """A job; `spec` is the job as `Job.of` takes it and `file` its job file, where they were asked for."""

    job: JobInfo
    spec: dict[str, Any] | None = None
    file: str = ""


class Failures(Reply, frozen=True, kw_only=True):
    """Blocks given up, in order, and the number of all of them."""

    failures: tuple[BlockFailure, ...]
    count: int


class LogPart(Reply, frozen=True, kw_only=True):
    """Lines of a log and the offset of the next one; `ended`: nothing will follow."""

    lines: tuple[LogLine, ...]
    next_offset: int
    ended: bool


class Workers(Reply, frozen=True, kw_only=True):
    """The worker processes."""

    workers: tuple[WorkerInfo, ...]
    allowed: int


class Refusal(Reply, frozen=True, kw_only=True):
    """The request was not met, and nothing was changed."""

    kind: Literal["no_such_job", "refused", "bad_job", "protocol", "broken"]
    message: str
