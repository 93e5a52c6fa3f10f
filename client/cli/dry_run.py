"""``--dry-run``: prints what a job will take, before it is run or submitted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from ...daemon.engine.engine import Engine
from ...daemon.planning.cost import read_voxels, written_bytes
from ...daemon.runs.estimate import Estimate, estimate
from ...daemon.runs.outputs.scratch_output import scratch_folder
from ...daemon.runs.staged_run import StagedRun
from ...shared.errors import BlockmillError
from ...shared.geometry.roi import Shape
from ...shared.jobs.job import Job
from ...shared.jobs.staged import AnyJob, StagedJob
from ...shared.units import format_count, format_duration, format_size
from ..formatting.exit_codes import INTERRUPTED
from ..formatting.interrupt import Interrupt
from ..formatting.output import complain, say, say_json
from .job_files import complain_of


def say_estimate(
    job: AnyJob, path: str, *, workers: int | None, as_json: bool, overwrite: bool = False
) -> int:
    """Print what a job will take.

    A few blocks are computed for that. Their results are removed, and the output is not touched.

    Parameters
    ----------
    job : Job or StagedJob
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
            if isinstance(job, StagedJob):
                return _say_stages(job, workers, as_json)
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
    with scratch_folder(job) as folder, Engine(count, preload=job.preloads, fork=True) as engine:
        return estimate(job, engine, folder, overwrite=overwrite, poll=poll)


def _say_stages(job: StagedJob, workers: int | None, as_json: bool) -> int:
    """Print the plan of each stage; no blocks are tried, as later stages read what is not there yet."""
    run = StagedRun(job, workers or job.workers or len(os.sched_getaffinity(0)))
    stages = [
        StageEstimate(
            stage=stage.name,
            output=None if stage.temporary else stage.job.output.address,
            blocks=len(one.plan.grid),
            task_block=one.plan.grid.block_shape,
            bytes_read=read_voxels(one.plan, one.inputs.shape) * one.inputs.itemsize,
            bytes_written=written_bytes(one.plan),
            warnings=list(one.plan.notes),
        )
        for stage, one in run.stages
    ]
    if as_json:
        say_json(stages=[asdict(stage) for stage in stages])
        return 0
    for stage in stages:
        where = "temporary" if stage.output is None else os.path.relpath(stage.output)
        say(
            f"{stage.stage:12} {stage.blocks} blocks of {_shape(stage.task_block)} voxels, reads "
            f"{format_size(stage.bytes_read)}, writes {format_size(stage.bytes_written)} -> {where}"
        )
        for warning in stage.warnings:
            complain(f"warning: {warning}")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEstimate:
    """The plan of one stage; sizes in bytes.

    Attributes
    ----------
    stage : str
    output : str or None
        None: a temporary volume.
    blocks : int
    task_block : tuple of int
    bytes_read, bytes_written : int
    warnings : list of str
    """

    stage: str
    output: str | None
    blocks: int
    task_block: Shape
    bytes_read: int
    bytes_written: int
    warnings: list[str]


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
