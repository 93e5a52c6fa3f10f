"""The interface of outputs, and functions that their kinds share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ...shared.errors import OutputRefused
from ...shared.geometry.roi import Roi
from ...shared.jobs.job import Job
from ...shared.messages import engine as wire
from ..engine.handle import Result
from ..engine.job import JobSpec
from ..planning.plan import Plan
from .output_files import OutputFiles


def job_spec(recipe: wire.Recipe, plan: Plan, job: Job, done: bytes) -> JobSpec:
    """The spec of a job for the engine, as far as it is the same for all kinds of output.

    Parameters
    ----------
    recipe : Recipe
        Instructions for a block, for workers.
    plan : Plan
    job : Job
    done : bytes
        Map of finished blocks, one byte a block; empty: none.

    Returns
    -------
    JobSpec
    """
    return JobSpec(
        recipe=recipe,
        blocks=plan.grid,
        retries=job.retries,
        on_error=job.on_error,
        ordered=job.order == "block",
        done=done,
        block_timeout_s=job.block_timeout_s,
    )


def never_interrupted() -> None:
    """Do nothing: the check of what can't be interrupted."""


def refuse_odd_file(path: Path) -> None:
    """Refuse to replace a folder or a device; only a file or a link can be an output."""
    if os.path.lexists(path) and not (path.is_symlink() or path.is_file()):
        what = "a folder" if path.is_dir() else "no regular file"
        raise OutputRefused(f"{path} is {what}, which is never replaced; move it, or name another output")


class Output(Protocol):
    """The operations of a run on its output."""

    path: Path
    files: OutputFiles
    worker_address: str | None

    def begun(self) -> bool: ...
    def has_finished_blocks(self) -> bool: ...
    def in_the_way(self) -> Path | None: ...
    def check_replaceable(self, check: Callable[[], None] = ...) -> None: ...
    def discard(self, check: Callable[[], None], tell: Callable[[str], None]) -> None: ...
    def written_by(self, job: str) -> bool: ...
    def inside(self) -> str | None: ...
    def start(self) -> None: ...
    def go_on(self, check: Callable[[], None], tell: Callable[[str], None]) -> bytes: ...
    def spec(self, recipe: wire.Recipe, done: bytes, workers: int) -> JobSpec: ...
    def merge(self, result: Result) -> None: ...
    def sweep(self, rois: list[Roi]) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...
