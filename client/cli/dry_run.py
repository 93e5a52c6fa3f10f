"""``--dry-run``: prints what a job will take, before it is run or submitted."""

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
from ...shared.units import format_count, format_duration, format_size
from ..formatting.exit_codes import INTERRUPTED
from ..formatting.interrupt import Interrupt
from ..formatting.output import complain, say, say_json
from .job_files import complain_of


def say_estimate(job: Job, path: str, *, workers: int | None, as_json: bool, overwrite: bool = False) -> int:
    """Print what a job will take.

    A few blocks are computed for that. Their results are removed, and the output is not touched.

    Parameters
    ----------
    job : Job
    path : str
        Of its file, for messages; "-" if it has none.
    workers : int or None
        Number of workers; None: as the job says, else all processors.
    as_json : bool
        Print one JSON document.
    overwrite : bool
        Estimate a run with ``--overwrite``.

    Returns
    -------
    int
        Exit code, as of ``run``.
    """
    with Interrupt() as interrupt:

        def poll() -> None:
            if interrupt.came():
                raise KeyboardInterrupt

        try:
            result = _estimate(job, workers, overwrite, poll)
        except KeyboardInterrupt:
            complain("interrupted; nothing was changed")
            return INTERRUPTED
        except BlockmillError as error:
            return complain_of(path, error)
    _print(result, as_json)
    return 0


def _estimate(job: Job, workers: int | None, overwrite: bool, poll: Callable[[], None]) -> Estimate:
    """Estimate on an engine like that of ``run``."""
    count = workers or job.workers or len(os.sched_getaffinity(0))
    with scratch_folder(job) as folder, Engine(count, preload=job.operation.preloads, fork=True) as engine:
        return estimate(job, engine, folder, overwrite=overwrite, poll=poll)


def _print(result: Estimate, as_json: bool) -> None:
    if as_json:
        say_json(**asdict(result))
        return
    for name, text in _rows(result):
        say(f"{name:12} {text}")
    for warning in result.warnings:
        complain(f"warning: {warning}")


def _rows(result: Estimate) -> Iterator[tuple[str, str]]:
    finished = f", {result.blocks_finished} of them finished" if result.blocks_finished else ""
    yield "output", os.path.relpath(result.output)
    yield "blocks", f"{result.blocks} of {_shape(result.task_block)} voxels{finished}"
    if result.storage_block is not None:
        yield "stored in", f"blocks of {_shape(result.storage_block)} voxels"
    yield "halo", ", ".join(map(str, result.halo)) + " voxels"
    limit = format_size(result.memory_limit_bytes)
    each = f"{format_size(result.memory_per_worker_bytes)} a worker (at most {limit})"
    total = f"{format_size(result.memory_bytes)} in all, {format_size(result.memory_available_bytes)} free"
    yield "memory", f"{each}, {total}"
    yield "reads", format_size(result.bytes_read)
    yield "writes", f"{format_size(result.bytes_written)} in {format_count(result.files, 'file')}"
    needed = format_size(result.disk_needed_bytes)
    yield "disk", f"{needed} at most, {format_size(result.disk_free_bytes)} free"
    if result.seconds is not None:
        tried = (
            f"{format_count(result.blocks_tried, 'block')} tried, {format_count(result.workers, 'worker')}"
        )
        yield "time", f"about {format_duration(result.seconds)} ({tried})"


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))
