"""The fileset that cluster tasks write: fits its description to the job, tells which blocks are finished."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...daemon.runs.inputs.input_check import InputCheck, input_check_of
from ...daemon.runs.inputs.input_state import changed_files, code_of, input_changed, input_state
from ...daemon.runs.outputs.ownership import refuse_own_input
from ...shared.errors import JobError
from ...shared.geometry.roi import Roi, Shape
from ...shared.jobs.job import Job, job_hash
from ...shared.jobs.staged import AnyJob
from ...shared.locking.filelock import FileLock
from ...shared.operations.base import Operation
from ...shared.volumes.base.api import Volume
from ...shared.volumes.base.info import meaning_as_said
from ...shared.volumes.blockwise.description import FilesetDescription, read_description, write_description
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ...shared.volumes.claims import reads_of
from ...shared.volumes.hdf5.options import Hdf5Options
from ...shared.volumes.registry import open_volume, split_address, split_input

TASK_NAME = "TASK"
"""A node holds the lock of this name in its block's directory, from the first voxel to the status."""

_UNFINISHED = "not settled yet"


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """A job file with its input opened, as master and nodes use it.

    Attributes
    ----------
    job : Job
    source : Volume
        Its input.
    roi : Roi
        The part of the input to compute; voxel 0 of the output's view lies at its start.
    output : str
        Path of the output's description.
    axes : str
        Of the input, as the job or else the input says.
    """

    job: Job
    source: Volume
    roi: Roi
    output: str
    axes: str

    @classmethod
    def of(cls, job: AnyJob) -> ClusterJob:
        """Open the input of a job.

        Raises
        ------
        JobError
            If input, operation and output don't fit each other.
        """
        if not isinstance(job, Job):
            raise JobError("stages: a cluster run does one stage; give each a job file of its own")
        if job.mask is not None:
            raise JobError("mask: a cluster run has none; leave it out")
        target = split_address(job.output.address)
        if target.format != "blockwise":
            raise JobError(f"output: {target.file} is no fileset (.json); cluster tasks write one")
        said = job.only_input("a cluster run")
        source = open_volume(said.address, live=said.live)
        roi = Roi.of(job.roi) if job.roi is not None else Roi.from_shape(source.shape)
        roi.check_within(source.shape, f"input {source.address}")
        meaning, _ = meaning_as_said(source, said)
        job.operation.check_inputs(meaning.axes, {"input": source.dtype})
        job.operation.check_keeps_shape(meaning.axes, "a cluster run")
        return cls(job, source, roi, os.fspath(target.file), meaning.axes)

    @property
    def operation(self) -> Operation:
        """The job's, with an entry per axis in each length."""
        return self.job.operation.resolved(self.axes)

    @property
    def name(self) -> str:
        """Hash of the job, written into the status of each finished block."""
        return job_hash(self.job.identity(self.axes))

    def input_check(self) -> InputCheck:
        """How nodes check the input.

        Raises
        ------
        JobError
            If the record beside the input says that this is another file.
        """
        if not self.job.check_input:
            return InputCheck()
        said = self.job.only_input("a cluster run")
        return input_check_of(said, split_input(said.address), self.source)

    def open_output(self) -> BlockwiseFileset:
        """Open the output for writing."""
        durability = "none" if self.job.output.durability == "none" else "block"
        return BlockwiseFileset(self.output, "a", job=self.name, durability=durability)


class ReadFiles:
    """What a cluster run reads, at its beginning: the input with all that it leads to, and the user's code.

    Parameters
    ----------
    work : ClusterJob
    logs : str
        The folder of the tasks' logs; what lies in it is no code.

    Raises
    ------
    JobError
        If the output would replace part of the input.
    """

    def __init__(self, work: ClusterJob, logs: str) -> None:
        self._job = work.job
        self._besides = (os.path.realpath(logs),)
        self._said = work.job.only_input("a cluster run")
        self._address = split_input(self._said.address)
        reads = reads_of(self._address)
        refuse_own_input(self._address, reads, split_address(work.job.output.address))
        self._input: dict[str, object] = {**input_state(self._address, reads, live=self._said.live)}
        self._code = code_of(self._job, reads, besides=self._besides)

    def changed(self) -> str:
        """What has changed since, for people; empty if nothing has.

        Modules count as well as data files: each node imports them anew.
        """
        reads = reads_of(self._address)
        if input_changed(self._said, self._address, reads, self._input):
            return f"the input {self._said.address}"
        before, now = self._code, code_of(self._job, reads, besides=self._besides)
        if before is None or now is None:
            return ""
        files = changed_files(before.modules, now.modules) + changed_files(before.data, now.data)
        return ", ".join(files[:3]) and f"{', '.join(files[:3])} of the user's code"


def hash_of(description: FilesetDescription) -> str:
    """The hash_id of an output; if it changes, all blocks become invalid.

    It is the SHA-1, in hex, of the UTF-8 text of block_shape as a list (``[64, 64, 64]``), the axes and
    the format, concatenated. (The original takes the same three, but fails under Python 3.)
    """
    text = f"{list(description.block_shape)}{description.axes}{description.format}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def prepare_output(work: ClusterJob) -> BlockwiseFileset:
    """Fit the description to the job, write it if that changes it, and open the output.

    If there is none, it is created with the job's ``output.block_shape``. Axes are put into the order of
    the input, block_shape and chunks are clipped to the shape on disk. If hash_id, dtype or the
    layout of blocks change, every block loses its status, also those of the old layout.

    Raises
    ------
    JobError
        If the description is wrong or is for other axes.
    LockTimeout
        If a block that is to lose its status is being written.
    """
    if not Path(work.output).exists():
        description = _new_description(work)
        return BlockwiseFileset.create(work.output, description, job=work.name)
    old = read_description(work.output)
    new = fit_description(old, work)
    if _layout_differs(old, new):
        _invalidate(work.output)
        # A run that finds this hash_id invalidates again: the new layout may have old statuses until then.
        write_description(work.output, replace(new, hash_id=_UNFINISHED))
        _invalidate(work.output)
    if new != old:
        write_description(work.output, new)
    return work.open_output()


def _new_description(work: ClusterJob) -> FilesetDescription:
    spec = work.job.output
    assert isinstance(spec, Hdf5Options), "the settings of a fileset"
    if spec.block_shape is None:
        raise JobError(
            f"output: {work.output} does not exist; write a description, or give output.block_shape to have "
            "it made"
        )
    description = FilesetDescription(
        name=work.job.name,
        axes=work.axes,
        shape=work.roi.shape,
        view_shape=work.roi.shape,
        dtype=work.operation.output_dtype(work.source.dtype),
        block_shape=tuple(map(min, spec.block_shape, work.roi.shape)),
        chunks=spec.chunks,
        compression=spec.compression,
        compression_opts=spec.compression_opts,
        dataset_root_dir=f"{Path(work.output).stem}_blocks",
        block_file_name_format="block-{roiString}.h5/volume/data",
    )
    return replace(description, hash_id=hash_of(description))


def fit_description(old: FilesetDescription, work: ClusterJob) -> FilesetDescription:
    """Fit axes, view, block shapes, dtype and hash_id of a description to the job.

    Parameters
    ----------
    old : FilesetDescription
    work : ClusterJob

    Returns
    -------
    FilesetDescription

    Raises
    ------
    JobError
        If the description is for other axes, or its view does not fit the input.
    """
    axes = work.axes
    if sorted(axes) != sorted(old.axes):
        raise JobError(f"{work.output}: axes: is {old.axes!r}, but the input has {axes!r}")

    def ordered(values: Iterable[int] | None) -> Shape | None:
        by_letter = dict(zip(old.axes, values or (), strict=False))
        return tuple(by_letter[letter] for letter in axes) if by_letter else None

    def clipped(values: Iterable[int] | None) -> Shape | None:
        sorted_values = ordered(values)
        return tuple(map(min, sorted_values, shape)) if sorted_values else None

    shape = ordered(old.shape) or ()
    changes: dict[str, Any] = {
        "axes": axes,
        "shape": shape,
        "dtype": work.operation.output_dtype(work.source.dtype),
        "block_shape": clipped(old.block_shape),
        "chunks": clipped(old.chunks),
        "sub_block_shape": clipped(old.sub_block_shape),
        "view_origin": ordered(old.view_origin),
        "view_shape": work.roi.shape,
    }
    try:
        new = replace(old, **changes)
    except JobError as error:
        raise JobError(f"{work.output} does not fit the input: {error}") from error
    return replace(new, hash_id=hash_of(new))


def _layout_differs(old: FilesetDescription, new: FilesetDescription) -> bool:
    keys = ("hash_id", "dtype", "axes", "block_shape", "shape")
    return any(getattr(old, key) != getattr(new, key) for key in keys)


def _invalidate(path: str) -> None:
    with BlockwiseFileset(path, "a") as fileset:
        for block in fileset.block_rois():
            fileset.set_block_status(block.start, available=False)


def is_done(fileset: BlockwiseFileset, start: Shape, name: str) -> bool:
    """Test if a block is available, and was not written by another job.

    Parameters
    ----------
    fileset : BlockwiseFileset
    start : tuple of int
        First voxel of the block.
    name : str
        Of the job; see `ClusterJob.name`. A block that names no job counts.

    Returns
    -------
    bool
    """
    record = fileset.block_record(start)
    return record is not None and record.job in ("", name)


def task_lock(fileset: BlockwiseFileset, start: Shape) -> FileLock:
    """Return the lock that a node holds while it computes a block; make the directory of the block.

    Parameters
    ----------
    fileset : BlockwiseFileset
    start : tuple of int
        First voxel of the block.

    Returns
    -------
    FileLock
    """
    directory = Path(fileset.dataset_directory(start))
    directory.mkdir(parents=True, exist_ok=True)
    return FileLock(directory / TASK_NAME, timeout_s=0, private=True)


def writer_of(fileset: BlockwiseFileset, start: Shape) -> str | None:
    """Describe the process that holds a block, unless it is known to be dead.

    Locks of dead processes of this host don't count. (The original leaves out every locked block until
    somebody purges its lock.)

    Parameters
    ----------
    fileset : BlockwiseFileset
    start : tuple of int
        First voxel of the block.

    Returns
    -------
    str or None
        Process and path of the lock; None if nobody holds the block.
    """
    task = os.path.join(fileset.dataset_directory(start), TASK_NAME)
    for lock in (FileLock(task, private=True), FileLock(fileset.block_file(start))):
        if not lock.available() and (holder := lock.holder()) is not None:
            return f"{holder.describe()} ({lock.lock_path})"
    return None


def check_dtype(fileset: BlockwiseFileset, dtype: np.dtype) -> None:
    """Refuse an output of another dtype: only the master changes descriptions, a node does not.

    Parameters
    ----------
    fileset : BlockwiseFileset
    dtype : dtype
        Of the operation's result.

    Raises
    ------
    JobError
        If they differ.
    """
    if fileset.dtype != dtype:
        raise JobError(f"{fileset.address} has dtype {fileset.dtype}, but the job gives {dtype}")
