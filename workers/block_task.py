"""One block task in a worker: read with halo, run the kernel, write the block or put it into its slot."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..shared.errors import BlockError, StorageError
from ..shared.files.checksum import crc32_of
from ..shared.geometry.reads import Reads
from ..shared.geometry.roi import Roi, Shape
from ..shared.memory.arena import Segment, attach_array
from ..shared.messages import engine as wire
from ..shared.operations.copy import Copy
from ..shared.operations.registry import parse_operation
from ..shared.system.impersonation import acting_as
from ..shared.volumes.base.api import Volume
from ..shared.volumes.base.memory import MemoryVolume
from ..shared.volumes.blockwise.fileset import BlockwiseFileset
from ..shared.volumes.formats import open_volume
from .file_access import FileAccess
from .halo_check import HaloCheck
from .input_check import NoCheck, input_check
from .kernels import kernel_for
from .kernels.context import BlockContext
from .kernels.python import check_definition, takes_context
from .task_rois import rois_of
from .user_code import UserCode


class BlockOutcome(NamedTuple):
    """The result of a finished task, as `wire.TaskDone` has it."""

    nbytes_read: int = 0
    nbytes_written: int = 0
    skipped: bool = False
    crc32: int = 0
    note: str = ""
    unrecorded: int = 0


class PreparedJob:
    """A worker's side of a job: volumes and kernel, opened at the first block."""

    def __init__(self, recipe: wire.Recipe) -> None:
        self.roi_of = rois_of(recipe)
        self.prompt = recipe.prompt
        self._recipe = recipe
        self._files = FileAccess(recipe)
        self._source: Volume | None = None
        self._input_check = NoCheck()
        self._output: BlockwiseFileset | None = None
        has_code = recipe.user_code is not None or bool(recipe.code_files)
        self._user_code = UserCode(recipe.user_code, recipe.code_files) if has_code else None

    def _open(self) -> Volume:
        """Open everything; done late, so that an error here is the reply to a block."""
        recipe = self._recipe
        self._spec = parse_operation(recipe.operation or "copy")
        if self._user_code is not None:
            with acting_as(recipe.identity):
                self._user_code.check()
        self._kernel = kernel_for(self._spec)
        folders = recipe.confinement.code if recipe.confinement is not None else None
        function = self._spec.user_function
        if folders is not None and recipe.user_code is not None and function is not None:
            check_definition(function, folders)
        source = self._files.run(self._open_volumes)
        self._bounds = Roi.from_shape(source.shape)
        self._axes = recipe.axes or source.axes
        part = Roi(recipe.offset or (0,) * len(source.shape), recipe.part_stop or source.shape)
        self._reads = Reads(part, self._spec.scale(self._axes), self._spec.halo_per_axis(self._axes))
        self._source = source
        return source

    def _open_volumes(self) -> Volume:
        recipe = self._recipe
        source = open_source(recipe.source, recipe.live_extent)
        self._input_check = input_check(recipe.input_check, source)
        if recipe.output is not None:
            self._output = BlockwiseFileset(
                recipe.output, "a", job=recipe.job_hash, durability=recipe.durability
            )
        return source

    def do(self, task: wire.Task, roi: Roi, segment: Segment | None) -> BlockOutcome:
        """Compute one block; write it, or put it into the task's slot.

        Parameters
        ----------
        task : Task
        roi : Roi
            The task's, in block coordinates.
        segment : Segment or None
            The shared memory that holds the task's slot.

        Returns
        -------
        BlockOutcome

        Raises
        ------
        BlockmillError
            If anything is wrong with job, input, operation or output.
        """
        if self._user_code is not None:
            self._user_code.activate()
        source = self._source or self._open()
        if self._recipe.probe:
            return BlockOutcome()
        if self._recipe.resume and self._output is not None and self._finished(self._output, roi):
            return BlockOutcome(skipped=True)
        kept_roi = self._reads.kept(roi)
        if task.slot is not None and segment is not None and self._is_plain_copy(source):
            target = slot_array(task.slot, segment, roi, source.dtype)
            unrecorded = self._read_checked(source, kept_roi, kept_roi, target)[1]
            return self._outcome(target, target.nbytes, unrecorded)
        read_roi = kept_roi.grown(self._reads.halo, within=self._bounds)
        block, unrecorded = self._read_checked(source, kept_roi, read_roi)
        with acting_as(self._recipe.identity):
            result = self._kernel(block, BlockContext(read_roi, kept_roi, source.shape, self._axes))
        note = self._check_halo(source, kept_roi) if task.block == self._recipe.checked_block else ""
        if (output := self._output) is not None:
            self._files.run(lambda: output.write(roi, result))
            return BlockOutcome(block.nbytes, result.nbytes, note=note, unrecorded=unrecorded)
        if task.slot is None or segment is None:
            raise BlockError("the task names no place for its result")
        target = slot_array(task.slot, segment, roi, result.dtype)
        target[...] = result
        return self._outcome(target, block.nbytes, unrecorded, note)

    def _check_halo(self, source: Volume, block: Roi) -> str:
        """What is to be said about the halo of the user's function."""
        if (function := self._spec.user_function) is None:
            return ""

        def compute(read_roi: Roi, kept_roi: Roi) -> NDArray[Any]:
            context = BlockContext(read_roi, kept_roi, source.shape, self._axes)
            block = self._files.run(lambda: source.read(read_roi))
            with acting_as(self._recipe.identity):
                return np.array(self._kernel(block, context))

        pieces = not takes_context(function)
        check = HaloCheck(self._bounds, block, self._reads.halo, self._recipe.check_voxels, compute, pieces)
        return check.note()

    def _read_checked(
        self, source: Volume, kept_roi: Roi, read_roi: Roi, out: Any = None
    ) -> tuple[NDArray[Any], int]:
        """The voxels of `read_roi`, checked, and how many blocks have nothing to check them by."""
        check = self._input_check

        def read() -> tuple[NDArray[Any], int]:
            unrecorded = check.before_read(kept_roi, read_roi)
            voxels = source.read(read_roi, out)
            return voxels, unrecorded + check.after_read(kept_roi, read_roi, voxels)

        return self._files.run(read)

    def _is_plain_copy(self, source: Volume) -> bool:
        return isinstance(self._spec, Copy) and self._spec.output_dtype(source.dtype) == source.dtype

    def _finished(self, output: BlockwiseFileset, roi: Roi) -> bool:
        """Test if each block file of `roi` is this job's and agrees with its checksum."""
        return self._files.run(
            lambda: all(
                output.verify_block(block.start, job=self._recipe.job_hash) is None
                for block in output.grid.touching(roi)
            )
        )

    def _outcome(
        self, result: NDArray[Any], nbytes_read: int, unrecorded: int, note: str = ""
    ) -> BlockOutcome:
        """The outcome of a block whose result lies in its slot."""
        crc = crc32_of(result) if self._recipe.checksum else 0
        return BlockOutcome(nbytes_read, result.nbytes, crc32=crc, note=note, unrecorded=unrecorded)

    def close(self) -> None:
        """Close the volumes."""
        self._input_check.close()
        for volume in (self._source, self._output):
            if volume is not None:
                volume.close()
        self._files.close()
        if self._user_code is not None:
            self._user_code.forget()


def open_source(source: str | wire.SharedArray, live_extent: Shape | None = None) -> Volume:
    """Open the input volume, from its address or in shared memory; as for `Recipe`."""
    if isinstance(source, str):
        return open_volume(source, live=live_extent is not None, extent=live_extent)
    return MemoryVolume(attach_array(source), axes=source.axes)


def slot_array(slot: wire.Slot, segment: Segment, roi: Roi, dtype: np.dtype) -> NDArray[Any]:
    """The array in a slot into which the result of `roi` goes.

    Parameters
    ----------
    slot : Slot
    segment : Segment
        The shared memory of the slot.
    roi : Roi
    dtype : dtype
        Of the result.

    Returns
    -------
    ndarray of shape ``roi.shape``
        A view of the shared memory.

    Raises
    ------
    StorageError
        If the result would not fit.
    """
    if roi.volume * dtype.itemsize > slot.nbytes:
        raise StorageError(f"the result of {roi} as {dtype} does not fit into {slot.nbytes} bytes")
    return np.ndarray(roi.shape, dtype, buffer=segment.map, offset=slot.offset)
