"""One job as an executor on this machine holds it: its messages for workers, the slots of its results."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from numpy.typing import NDArray

from ...shared.geometry.grid import BlockGrid
from ...shared.memory.arena import Arena, Arenas
from ...shared.messages import engine as wire
from .api import ExecutorJob, NoRoom


class SlottedJob:
    """A job whose results lie in shared memory.

    Parameters
    ----------
    job : ExecutorJob
    arenas : Arenas
        Memory of the executor, from which the job takes its own at its first result.
    """

    def __init__(self, job: ExecutorJob, arenas: Arenas) -> None:
        self.job = job
        self.recipe = _with_grid(job)
        self.prepared_workers: set[int] = set()  # workers that hold the recipe
        self._arenas = arenas
        self._arena: Arena | None = None  # until it needs one
        blocks = job.blocks
        self._block_voxels = math.prod(blocks.block_shape) if isinstance(blocks, BlockGrid) else None
        self._slots: dict[int, wire.Slot] = {}

    def task(self, lease: wire.Lease) -> wire.Task:
        """The message for one attempt at a block, with a slot for its result.

        Raises
        ------
        NoRoom
            If there is no memory or no file descriptor left for the slot.
        """
        try:
            if self._block_voxels is not None:
                slot = self._slot_for(lease.block, self._block_voxels)
                return wire.Task(lease.job, lease.block, lease.attempt, slot=slot)
            roi = self.job.blocks.roi_of(lease.block)
            slot = self._slot_for(lease.block, roi.volume)
        except (OSError, OverflowError) as error:
            raise NoRoom(str(error)) from error
        return wire.Task(lease.job, lease.block, lease.attempt, roi.start, roi.stop, slot)

    def _slot_for(self, block: int, voxels: int) -> wire.Slot | None:
        slot, dtype = None, self.job.result_dtype
        if dtype is not None:
            # The slot of an earlier attempt serves again: whoever had it has answered or is dead.
            slot = self._slots.get(block) or self._free_slot(voxels * dtype.itemsize)
            self._slots[block] = slot
        return slot

    def _free_slot(self, nbytes: int) -> wire.Slot:
        if self._arena is None:
            self._arena = self._arenas.take(nbytes)
        return self._arena.take(nbytes)

    def map_segment(self, slot: wire.Slot) -> wire.MapSegment:
        """The message that lets a worker open the segment of a slot."""
        assert self._arena is not None, "the slot is one of its own"
        segment = self._arena.segments[slot.segment]
        return wire.MapSegment(slot.segment, segment.path, segment.nbytes)

    def take_result(self, block: int) -> NDArray[Any]:
        """The voxels of a finished block; its slot is free again once the array is gone."""
        assert self.job.result_dtype is not None and self._arena is not None
        shape = self.job.blocks.roi_of(block).shape
        return self._arena.result(self._slots.pop(block), shape, self.job.result_dtype)

    def drop_result(self, block: int) -> None:
        """Release the slot of a result that nobody will take."""
        if (slot := self._slots.pop(block, None)) is not None and self._arena is not None:
            self._arena.give_back(slot)

    def close(self, *, in_use: bool) -> list[int]:
        """Give back the shared memory.

        It is not kept for the next job if this job acted as a user: the next one may be another's.

        Parameters
        ----------
        in_use : bool
            True if a worker may still write to it; it is not kept for the next job either.

        Returns
        -------
        list of int
            Numbers of the segments that workers may release.
        """
        if self._arena is None:
            return []
        for block in list(self._slots):  # results that nobody has taken
            self.drop_result(block)
        keep = not in_use and self.recipe.identity is None
        return self._arenas.give_back(self._arena, keep=keep)


def _with_grid(job: ExecutorJob) -> wire.Recipe:
    """The recipe with the grid, if there is one: tasks then need no rois."""
    blocks = job.blocks
    if not isinstance(blocks, BlockGrid):
        return job.recipe
    grid = wire.Grid(blocks.roi.start, blocks.roi.stop, blocks.block_shape, blocks.anchor)
    return msgspec.structs.replace(job.recipe, grid=grid)
