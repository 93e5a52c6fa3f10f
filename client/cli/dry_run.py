"""``--dry-run``: what a job will take, told before it is run or submitted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict

from ...daemon.engine.engine import Engine
from ...daemon.runs.estimate import Estimate, estimate
from ...daemon.runs.scratch_output import scratch_folder
from ...shared.errors import BlockmillError
from ...shared.geometry.roi import Shape
from ...shared.jobs.job import Job
from ...shared.units import format_duration, format_size
from ..formatting.exit_codes import INTERRUPTED
from ..formatting.interrupt import Interrupt
from ..formatting.output import complain, say, say_json
from ..formatting.wording import counted
from .job_files import complain_of, read_job


def dry_run(path: str, *, workers: int | None, as_json: bool, overwrite: bool = False) -> int:
    """Print what the job file at `path` will take; the exit code of the command, as of ``run``.

    A few blocks are tried for that. Nothing stays of them, and the output is not touched.
    """
    with Interrupt() as interrupt:

        def poll() -> None:
            if interrupt.came():
                raise KeyboardInterrupt

        try:
            found = _estimate(read_job(path), workers, overwrite, poll)
        except KeyboardInterrupt:
            complain("interrupted; nothing was changed")
            return INTERRUPTED
        except BlockmillError as error:
            return complain_of(path, error)
    _say(found, as_json)
    return 0


def _estimate(job: Job, workers: int | None, overwrite: bool, poll: Callable[[], None]) -> Estimate:
    """Find out, on an engine as ``run`` would have it."""
    count = workers or job.workers or len(os.sched_getaffinity(0))
    with scratch_folder(job) as folder, Engine(count, preload=job.operation.preload, fork=True) as engine:
        return estimate(job, engine, folder, overwrite=overwrite, poll=poll)


def _say(found: Estimate, as_json: bool) -> None:
    if as_json:
        say_json(**asdict(found))
        return
    for name, text in _rows(found):
        say(f"{name:12} {text}")
    for warning in found.warnings:
        complain(f"warning: {warning}")


def _rows(found: Estimate) -> Iterator[tuple[str, str]]:
    finished = f", {found.blocks_finished} of them finished" if found.blocks_finished else ""
    yield "output", os.path.relpath(found.output)
    yield "blocks", f"{found.blocks} of {_shape(found.task_block)} voxels{finished}"
    if found.storage_block is not None:
        yield "stored in", f"blocks of {_shape(found.storage_block)} voxels"
    yield "halo", ", ".join(map(str, found.halo)) + " voxels"
    most = format_size(found.memory_limit_bytes)
    each = f"{format_size(found.memory_per_worker_bytes)} a worker (at most {most})"
    together = f"{format_size(found.memory_bytes)} in all, {format_size(found.memory_available_bytes)} free"
    yield "memory", f"{each}, {together}"
    yield "reads", format_size(found.bytes_read)
    yield "writes", f"{format_size(found.bytes_written)} in {found.files} files"
    yield "disk", f"{format_size(found.disk_needed_bytes)} at most, {format_size(found.disk_free_bytes)} free"
    if found.seconds is not None:
        tried = f"{counted(found.blocks_tried, 'block')} tried, {counted(found.workers, 'worker')}"
        yield "time", f"about {format_duration(found.seconds)} ({tried})"


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))
