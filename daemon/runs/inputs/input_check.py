"""Whether and how a job checks the blocks of its input, and how many of them nobody checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....shared.errors import BlockmillError, JobError
from ....shared.geometry.grid import BlockGrid
from ....shared.geometry.reads import Reads
from ....shared.geometry.roi import Roi
from ....shared.jobs.volumes import InputVolume
from ....shared.messages import engine as wire
from ....shared.volumes.base.api import RecordedVolume, Volume
from ....shared.volumes.registry import Address, format_of
from ..outputs.output_files import OutputFiles
from ..outputs.output_record import OutputRecord


@dataclass(frozen=True, slots=True)
class InputCheck:
    """The check of a job's input.

    Attributes
    ----------
    recipe : InputCheck or None
        What workers need for it; None: nothing is checked.
    grid : BlockGrid or None
        The stored blocks of an input that a job has written; None of any other.
    note : str
        The reason why an input of ours is not checked, for people.
    """

    recipe: wire.InputCheck | None = None
    grid: BlockGrid | None = None
    note: str = ""

    def unchecked(self, tasks: BlockGrid, reads: Reads, unrecorded: int) -> tuple[int, int] | None:
        """How many stored blocks a finished job has read without a check, and how many it has read.

        Parameters
        ----------
        tasks : BlockGrid
            Task blocks.
        reads : Reads
            What they read of the input.
        unrecorded : int
            Blocks that were to be checked and have no checksum.

        Returns
        -------
        tuple of int, or None
            None if the input is not ours, or the job does not want it checked.
        """
        if self.grid is None:
            return None
        touched, whole = blocks_read(self.grid, tasks, reads)
        if self.recipe is None:
            return touched, touched
        if unrecorded and unrecorded == whole:  # such as a fileset of lazyflow: it has no checksums at all
            return None
        return touched - whole + unrecorded, touched


def input_check_of(said: InputVolume, target: Address, source: Volume) -> InputCheck:
    """The check of an input.

    Parameters
    ----------
    said : InputVolume
        What the job says of it.
    target : Address
        Of the input.
    source : Volume
        The opened input.

    Returns
    -------
    InputCheck

    Raises
    ------
    JobError
        If the record beside the input says that this is another file.
    """
    if said.live:
        return InputCheck()
    if format_of(target).keeps_status and isinstance(source, RecordedVolume):
        return InputCheck(wire.InputCheck(), source.records.grid)
    files = OutputFiles(Path(target.file))
    try:
        record = files.read_record()
        has_ledger = record is not None and files.ledger.is_file()
    except (BlockmillError, OSError) as error:
        return InputCheck(note=f"the input {target} is not checked: {error}")
    if record is None or not has_ledger or not _is_of(record, target):
        return InputCheck()
    return _check_by_ledger(record, str(files.ledger), source)


def _is_of(record: OutputRecord, target: Address) -> bool:
    """Whether a record is of this dataset: others may lie in the same HDF5 file."""
    if not target.internal:
        return True
    return record.identity.get("output_is", {}).get("inside") == target.internal


def _check_by_ledger(record: OutputRecord, ledger: str, source: Volume) -> InputCheck:
    recorded = record.identity.get("output_is", {})
    if recorded.get("shape") != list(source.shape):
        raise JobError(
            f"the input {source.address} has shape {list(source.shape)}, but the job that wrote it has "
            f"recorded {recorded.get('shape')}: it was replaced. Run that job again with --overwrite, or set "
            "check_input: false to read what is there"
        )
    grid = BlockGrid(Roi.from_shape(source.shape), record.task_block)
    if not record.finished:  # killed between the last block and the end
        return InputCheck(None, grid, f"the input {source.address} is not checked: its job is not finished")
    return InputCheck(wire.InputCheck(ledger, record.task_block), grid)


def blocks_read(stored: BlockGrid, tasks: BlockGrid, reads: Reads) -> tuple[int, int]:
    """How many stored blocks of the input a job reads, and how many its tasks check.

    Parameters
    ----------
    stored : BlockGrid
        The stored blocks, from the origin of the input.
    tasks : BlockGrid
        Task blocks.
    reads : Reads
        What they read of the input.

    Returns
    -------
    touched : int
        Blocks of which a voxel is read.
    whole : int
        Blocks that begin in the part of a task which reads them whole.
    """
    axes = [_blocks_on_axis(stored, tasks, reads, axis) for axis in range(stored.roi.ndim)]
    return math.prod(touched for touched, _ in axes), math.prod(whole for _, whole in axes)


def _blocks_on_axis(stored: BlockGrid, tasks: BlockGrid, reads: Reads, axis: int) -> tuple[int, int]:
    """`blocks_read` on one axis; rois and grids have right angles, so that the axes multiply."""
    extent, block = stored.roi.stop[axis], stored.block_shape[axis]
    begin, end = reads.part.start[axis], reads.part.stop[axis]
    task, halo = tasks.block_shape[axis] * reads.scale[axis], reads.halo[axis]
    first, last = max(begin - halo, 0) // block, (min(end + halo, extent) - 1) // block
    starts = np.arange(-(-begin // block), -(-end // block)) * block
    task_stops = np.minimum(begin + ((starts - begin) // task + 1) * task, end)
    whole = np.minimum(starts + block, extent) <= np.minimum(task_stops + halo, extent)
    return last - first + 1, int(whole.sum())
