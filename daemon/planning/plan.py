"""The plan of a job: task blocks, halo, memory per block, shape and dtype of the output.

Task blocks are whole multiples of the output's storage blocks, so that each block file has
one writer; among those the planner takes the size that reads few voxels twice, fits into
the memory of a worker, and still leaves enough blocks to keep all workers busy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import psutil

from ...shared.errors import JobError, OutOfBounds
from ...shared.geometry.block_shapes import default_block_shape
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.reads import Reads
from ...shared.geometry.roi import Roi, Shape
from ...shared.jobs.job import Job
from ...shared.operations.base import Operation, peak_bytes
from ...shared.volumes.base.api import Volume
from ...shared.volumes.base.format import Format, checked_extent
from ...shared.volumes.base.info import Meaning, guess_note, meaning_as_said
from ...shared.volumes.base.suffixes import TABLE_SUFFIXES
from .sizing import Sizing

BLOCKS_PER_WORKER = 8
_CHECK_SHARE = 0.1  # of the job's time, for the check of a function's halo
_LARGEST_DEFAULT_MEMORY_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decisions about a job: blocks, halo, dtype, memory.

    Attributes
    ----------
    roi : Roi
        The part of the input to compute, in input voxels.
    grid : BlockGrid
        Task blocks over ``[0, shape)``, the coordinates of the output.
    storage_block : tuple of int or None
        Extent of the output's block files or chunks; None if it has none.
    reads : Reads
        The voxels of the input that a block is made of.
    dtype : numpy.dtype
        Element type of the output.
    operation : Operation
        The job's, with an entry per axis in each length.
    meaning : Meaning
        Of the output's voxels: axes, voxel size, origin, range.
    task_bytes : int
        Estimated memory of one task in a worker.
    notes : tuple of str
        Decisions that differ from the job's wishes, for people.
    """

    roi: Roi
    grid: BlockGrid
    storage_block: Shape | None
    reads: Reads
    dtype: np.dtype
    operation: Operation
    meaning: Meaning
    task_bytes: int
    notes: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> Shape:
        """Shape of the output."""
        return self.reads.shape

    @property
    def halo(self) -> Shape:
        """Voxels read around a block, per axis."""
        return self.reads.halo

    @property
    def axes(self) -> str:
        """One letter per axis, of the input and of the output."""
        return self.meaning.axes


def make_plan(job: Job, sources: Mapping[str, Volume], workers: int, output: Format) -> Plan:
    """Plan `job` on its opened inputs.

    Parameters
    ----------
    job : Job
    sources : dict of str to Volume
        The inputs by their names.
    workers : int
        Number of workers that share the job.
    output : Format
        Format of the output; it says what one worker should write as a whole.

    Returns
    -------
    Plan

    Raises
    ------
    JobError
        If roi, block shapes or operation don't fit the input, or a block needs more
        memory than a worker may take.
    """
    source = next(iter(sources.values()))
    ndim = len(source.shape)
    roi = _roi_of(job, source)
    meaning, notes = _common_meaning(job, sources)
    axes = meaning.axes
    dtypes = {name: volume.dtype for name, volume in sources.items()}
    job.operation.check_inputs(axes, dtypes)
    _check_kind(job.operation, output, job.output.address)
    operation = job.operation.resolved(axes)
    reads = Reads(roi, operation.scale(axes), operation.halo_per_axis(axes))
    shape = reads.shape
    storage = output.write_unit(job.output, shape, axes)
    sizing = Sizing(
        reads=reads,
        step=storage or (1,) * ndim,
        voxel_bytes=peak_bytes(job.operation, (1,) * ndim, dtypes),
        memory_bytes=job.memory_per_worker or default_memory_bytes(workers),
        least_blocks=BLOCKS_PER_WORKER * workers,
    )
    job_block = checked_extent(job.block_shape, shape, "block_shape")
    if job_block is not None:
        job_block = sizing.clip(job_block)
    start = job_block or storage or default_block_shape(shape, axes)
    block, cut_notes = sizing.align(start)
    if job_block is None:
        block = sizing.grow(block)
    block = sizing.clip(block)
    sizing.check_memory(block)
    return Plan(
        roi=roi,
        grid=BlockGrid(Roi.from_shape(shape), block),
        storage_block=storage,
        reads=reads,
        dtype=job.operation.dtype_of(dtypes),
        operation=operation,
        meaning=_meaning_of_output(meaning, reads, operation),
        task_bytes=sizing.task_bytes(block),
        notes=(*notes, *([guess] if (guess := guess_note(meaning, source.address)) else []), *cut_notes),
    )


def _check_kind(operation: Operation, output: Format, address: str) -> None:
    """Refuse a volume as the output of an operation that makes a table, and the reverse."""
    if operation.has_table and not output.holds_table:
        endings = ", ".join(f"x{suffix}" for suffix in TABLE_SUFFIXES)
        raise JobError(f"output: {address} is no table, and {operation.name} makes one: {endings}")
    if output.holds_table and not operation.has_table:
        raise JobError(f"output: {address} is a table, and {operation.name} makes a volume")


def _common_meaning(job: Job, sources: Mapping[str, Volume]) -> tuple[Meaning, list[str]]:
    """What the first input says about its voxels, and what people are told; all inputs agree with it."""
    said = job.inputs
    (first, source), *others = sources.items()
    meaning, notes = meaning_as_said(source, said[first])
    for name, volume in others:
        other, more = meaning_as_said(volume, said[name])
        if volume.shape != source.shape:
            raise JobError(
                f"input.{name}: {volume.address} has shape {list(volume.shape)}, and input.{first}, "
                f"{source.address}, has {list(source.shape)}; all inputs of an operation have one shape"
            )
        if other.axes != meaning.axes and "guess" not in (other.axes_from, meaning.axes_from):
            raise JobError(
                f"input.{name}: {volume.address} has the axes {other.axes}, and input.{first}, "
                f"{source.address}, has {meaning.axes}; if they are the same, say so: "
                f"input: {{{name}: {{address: ..., axes: {meaning.axes}}}}}"
            )
        if meaning.guessed and not other.guessed:
            meaning = replace(meaning, axes=other.axes, axes_from=other.axes_from)
        notes += more
    return meaning, notes


def halo_check(plan: Plan) -> dict[str, int]:
    """At which block the halo of a user's function is checked, and how many voxels that may read.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict
        Fields of `Recipe`; empty where there is nothing to check.
    """
    operation, blocks = plan.operation, len(plan.grid)
    if not operation.checks_halo or blocks < 2:
        return {}
    read = math.prod(n + 2 * h for n, h in zip(plan.grid.block_shape, plan.halo, strict=True))
    return {"checked_block": blocks // 2, "check_voxels": int(_CHECK_SHARE * blocks * read)}


def _meaning_of_output(meaning: Meaning, reads: Reads, operation: Operation) -> Meaning:
    part = meaning.of_part(reads.part.start).reduced(reads.scale)
    return part if operation.keeps_range else replace(part, drange=None)


def _roi_of(job: Job, source: Volume) -> Roi:
    if job.roi is None:
        return Roi.from_shape(source.shape)
    try:
        roi = Roi.of(job.roi)
        roi.check_within(source.shape, f"input {source.address}")
    except OutOfBounds as error:
        raise OutOfBounds(f"roi: {str(error).removeprefix('roi ')}") from None
    return roi


def default_memory_bytes(workers: int) -> int:
    """Memory limit of a worker, in bytes, if the job gives none: half of the free memory, divided evenly."""
    share = psutil.virtual_memory().available // (2 * workers)
    return min(share, _LARGEST_DEFAULT_MEMORY_BYTES)
