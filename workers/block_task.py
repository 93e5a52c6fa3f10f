"""One block task in a worker: read with halo, run the kernel, write the block or put it into its slot."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..shared.errors import BlockError, StorageError
from ..shared.files.checksum import crc32_of
from ..shared.geometry.reads import Reads
from ..shared.geometry.roi import Roi
from ..shared.memory.arena import Segment
from ..shared.messages import engine as wire
from ..shared.operations.copy import Copy
from ..shared.operations.registry import parse_operation
from ..shared.volumes.base.api import RecordedVolume
from .file_access import FileAccess
from .halo_check import HaloCheck
from .kernels import kernel_for
from .kernels.context import BlockContext, BlockResult
from .kernels.python import check_definition, takes_context
from .output import WorkerOutput, open_output
from .sources import Sources
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
    record: bytes = b""
    masked: bool = False


class PreparedJob:
    """A worker's side of a job: volumes and kernel, opened at the first block."""

    def __init__(self, recipe: wire.Recipe) -> None:
        self.roi_of = rois_of(recipe)
        self.prompt = recipe.prompt
        self._recipe = recipe
        self._files = FileAccess(recipe)
        self._sources: Sources | None = None
        self._mask: Sources | None = None
        self._output: WorkerOutput | None = None
        has_code = recipe.user_code is not None or bool(recipe.code_files)
        self._user_code = UserCode(recipe.user_code, recipe.code_files) if has_code else None

    def _open(self) -> Sources:
        """Open everything; done late, so that an error here is the reply to a block."""
        recipe = self._recipe
        self._spec = parse_operation(recipe.operation or "copy")
        if self._user_code is not None:
            self._user_code.check()
        self._kernel = kernel_for(self._spec)
        folders = recipe.confinement.code if recipe.confinement is not None else None
        if folders is not None and recipe.user_code is not None:
            for function in self._spec.user_functions:
                check_definition(function, folders)
        sources = self._files.run(self._open_volumes)
        self._bounds = Roi.from_shape(sources.shape)
        self._axes = recipe.axes or sources.first.axes
        part = Roi(recipe.offset or (0,) * len(sources.shape), recipe.part_stop or sources.shape)
        self._reads = Reads(part, self._spec.scale(self._axes), self._spec.halo_per_axis(self._axes))
        self._sources = sources
        return sources

    def _open_volumes(self) -> Sources:
        recipe = self._recipe
        sources = Sources(recipe.sources)
        self._mask = None if recipe.mask is None else Sources((recipe.mask,))
        self._output = open_output(recipe)
        return sources

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
        sources = self._sources or self._open()
        if self._recipe.probe:
            return BlockOutcome()
        if self._recipe.resume and self._is_finished(roi):
            return BlockOutcome(skipped=True)
        kept_roi = self._reads.kept(roi)
        if self._mask is not None and not self._is_wanted(self._mask, kept_roi):
            return self._left_out(sources, task.slot, roi, segment)
        if task.slot is not None and segment is not None and self._is_plain_copy(sources):
            target = slot_array(task.slot, segment, roi, sources.first.dtype)
            unrecorded = self._files.run(lambda: sources.read_into(kept_roi, target))
            return self._with_result(BlockOutcome(target.nbytes, unrecorded=unrecorded), target)
        read_roi = kept_roi.grown(self._reads.halo, within=self._bounds)
        blocks, unrecorded = self._files.run(lambda: sources.read(kept_roi, read_roi))
        nbytes = sum(block.nbytes for block in blocks.values())
        result = self._compute(blocks, self._context(read_roi, kept_roi))
        note = self._check_halo(sources, kept_roi) if task.block == self._recipe.checked_block else ""
        outcome = BlockOutcome(nbytes, note=note, unrecorded=unrecorded, record=result.record)
        return self._deliver(result.array, outcome, task.slot, roi, segment)

    def _is_wanted(self, mask: Sources, roi: Roi) -> bool:
        """Test if the mask is not 0 everywhere in a box."""
        blocks, _ = self._files.run(lambda: mask.read(roi, roi))
        return any(block.any() for block in blocks.values())

    def _left_out(
        self, sources: Sources, slot: wire.Slot | None, roi: Roi, segment: Segment | None
    ) -> BlockOutcome:
        """The outcome of a block that is not computed: zeros, or no record."""
        spec = self._spec
        zeros = None if spec.has_table else np.zeros(roi.shape, spec.dtype_of(sources.dtypes))
        return self._deliver(zeros, BlockOutcome(masked=True), slot, roi, segment)

    def _context(self, read_roi: Roi, kept_roi: Roi) -> BlockContext:
        return BlockContext(read_roi, kept_roi, self._bounds.shape, self._axes, self._reads.part)

    def _compute(self, blocks: dict[str, NDArray[Any]], context: BlockContext) -> BlockResult:
        """The kernel's result for a block. It empties `blocks`, so that the kernel owns the voxels."""
        spec = self._spec
        voxels = dict(blocks) if spec.takes_several else next(iter(blocks.values()))
        blocks.clear()
        result = self._kernel(voxels, context)
        return result if isinstance(result, BlockResult) else BlockResult(result)

    def _deliver(
        self,
        array: NDArray[Any] | None,
        outcome: BlockOutcome,
        slot: wire.Slot | None,
        roi: Roi,
        segment: Segment | None,
    ) -> BlockOutcome:
        """Write the voxels of a block, or put them into its slot; a block may be a record alone."""
        if array is None:
            return outcome
        if (output := self._output) is not None:
            self._files.run(lambda: output.write(roi, array))
            return self._with_result(outcome, array)
        if slot is None or segment is None:
            raise BlockError("the task names no place for its result")
        target = slot_array(slot, segment, roi, array.dtype)
        target[...] = array
        return self._with_result(outcome, target)

    def _check_halo(self, sources: Sources, block: Roi) -> str:
        """What is to be said about the halo of the user's function."""

        def compute(read_roi: Roi, kept_roi: Roi) -> NDArray[Any]:
            context = self._context(read_roi, kept_roi)
            block = self._files.run(lambda: sources.first.read(read_roi))
            return np.array(self._kernel(block, context))

        pieces = not any(map(takes_context, self._spec.user_functions))
        check = HaloCheck(self._bounds, block, self._reads.halo, self._recipe.check_voxels, compute, pieces)
        return check.note()

    def _is_plain_copy(self, sources: Sources) -> bool:
        dtype = sources.first.dtype
        return isinstance(self._spec, Copy) and self._spec.output_dtype(dtype) == dtype

    def _is_finished(self, roi: Roi) -> bool:
        """True if the output itself says that an earlier run has written this block."""
        output = self._output
        return isinstance(output, RecordedVolume) and self._files.run(lambda: output.records.is_finished(roi))

    def _with_result(self, outcome: BlockOutcome, result: NDArray[Any]) -> BlockOutcome:
        """The outcome of a block whose result is written, or lies in its slot."""
        crc32 = crc32_of(result) if self._recipe.checksum else 0
        return outcome._replace(nbytes_written=result.nbytes, crc32=crc32)

    def close(self) -> None:
        """Close the volumes."""
        for opened in (self._sources, self._mask, self._output):
            if opened is not None:
                opened.close()
        self._files.close()
        if self._user_code is not None:
            self._user_code.forget()


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
