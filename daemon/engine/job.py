"""One job as the engine's thread holds it: messages for workers, slots of results."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np

from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi
from ...shared.memory.arena import Arena, Arenas
from ...shared.messages import engine as wire
from ...shared.system.confinement import Confinement
from ...shared.system.impersonation import Identity
from ..scheduling.events import Attempted, OnError, Persist, Submit
from .handle import JobHandle, Result


class RoiList:
    """A list of blocks, any rois, that may grow."""

    def __init__(self, rois: list[Roi] | None = None) -> None:
        self._rois = list(rois or ())

    def __len__(self) -> int:
        return len(self._rois)

    def roi_of(self, number: int) -> Roi:
        """The voxels of block `number`."""
        return self._rois[number]

    def extend(self, rois: list[Roi]) -> None:
        """Append blocks."""
        self._rois.extend(rois)


class BlockLog(Protocol):
    """Records the ends of blocks and of attempts; called in the engine's thread."""

    def block(self, number: int, roi: Roi, ended: Persist, reply: wire.TaskDone | None) -> None:
        """Record that a block is done, or has failed for good.

        Parameters
        ----------
        number : int
            Number of the block.
        roi : Roi
            Its voxels.
        ended : Persist
            Its final state.
        reply : TaskDone or None
            The worker's reply; None if the block failed.
        """

    def attempt(self, attempted: Attempted) -> None:
        """Record that an attempt at a block failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOwner:
    """Owner and priority of a job among the others in the same engine.

    Attributes
    ----------
    name : str
        Owners of equal priority get equal shares of the workers' time.
    priority : int
        Higher goes first.
    identity : Identity or None
        The user who reads and writes the files of the job; None: the user of this process.
    confinement : Confinement or None
        The folders that the job may reach; None: all.
    """

    name: str = ""
    priority: int = 0
    identity: Identity | None = None
    confinement: Confinement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job as a submitter gives it to the engine.

    Attributes
    ----------
    recipe : Recipe
        Instructions for a block, for workers.
    blocks : BlockGrid or RoiList
        The blocks; a RoiList may grow while `sealed` is False.
    merge_dtype : numpy.dtype or None
        Results of this element type come back to the submitter; None: workers write them.
    max_open : int or None
        Most blocks that are running or waiting to be merged: the bound on memory.
    parallel_merges : int
        Most results that are with the submitter at any time.
    retries : int
        Further attempts at a block that failed.
    on_error : {"fail", "finish"}
        A failed block ends the job, or the other blocks go on.
    ordered : bool
        Deliver results in the order of block numbers.
    done : bytes
        Map of finished blocks, one byte a block; empty: none.
    block_timeout_s : float or None
        Longest time for one attempt, in seconds; its worker is killed then.
    memory_bytes : int or None
        Most resident memory of a worker that does a block of this job; it is killed beyond.
    shared_buffers : tuple of MapSegment
        Shared memory of the submitter's that the recipe names.
    number : int or None
        The submitter's own number for the job.
    owner : JobOwner
    events : BlockLog or None
        Notes each block that has ended and each failed attempt.
    """

    recipe: wire.Recipe
    blocks: BlockGrid | RoiList
    merge_dtype: np.dtype | None = None
    max_open: int | None = None
    parallel_merges: int = 1
    retries: int = 2
    on_error: OnError = "fail"
    ordered: bool = False
    done: bytes = b""
    sealed: bool = True
    block_timeout_s: float | None = None
    memory_bytes: int | None = None
    shared_buffers: tuple[wire.MapSegment, ...] = ()
    number: int | None = None
    owner: JobOwner = field(default_factory=JobOwner)
    events: BlockLog | None = None


class EngineJob:
    """A job inside the engine: the slots of its results, the workers that hold its recipe, its totals."""

    def __init__(self, name: str, spec: JobSpec, send_command: Callable[..., None], arenas: Arenas) -> None:
        self.name = name
        self.spec = spec
        self.recipe = _complete_recipe(spec)
        self.handle = JobHandle(name, send_command)
        self.prepared_workers: set[int] = set()  # workers that hold the recipe
        self.leased_blocks: set[int] = set()  # blocks given to a worker that have not come back
        self.merging_blocks: set[int] = set()  # results that are with the submitter
        self.error_kinds: dict[int, str] = {}  # class of the last error of a block, where it is one of ours
        self._arenas = arenas
        self._arena: Arena | None = None  # until it needs one
        grid = spec.blocks
        self._block_voxels = math.prod(grid.block_shape) if isinstance(grid, BlockGrid) else None
        self._slots: dict[int, wire.Slot] = {}
        self._replies: dict[int, wire.TaskDone] = {}  # of blocks that are not final yet

    def submission(self) -> Submit:
        """The event that adds this job to the coordinator."""
        spec = self.spec
        return Submit(
            self.name,
            len(spec.blocks),
            retries=spec.retries,
            on_error=spec.on_error,
            merge=spec.merge_dtype is not None,
            max_open=spec.max_open,
            parallel_merges=spec.parallel_merges,
            ordered=spec.ordered,
            done=spec.done or None,
            sealed=spec.sealed,
            block_timeout_s=spec.block_timeout_s,
            owner=spec.owner.name,
            priority=spec.owner.priority,
            probe=spec.recipe.probe and len(spec.blocks) == 1,
        )

    def cut_off(self) -> list[Roi]:
        """The blocks that were with a worker when the job ended."""
        return [self.spec.blocks.roi_of(block) for block in self.leased_blocks]

    def task(self, block: int, attempt: int) -> wire.Task:
        """The message for one attempt at a block, with a slot for its result.

        Parameters
        ----------
        block : int
            Number of the block.
        attempt : int
            Counts the leases of the block from 1.

        Returns
        -------
        Task
        """
        self.leased_blocks.add(block)
        if self._block_voxels is not None:
            return wire.Task(self.name, block, attempt, slot=self._slot_for(block, self._block_voxels))
        roi = self.spec.blocks.roi_of(block)
        slot = self._slot_for(block, roi.volume)
        return wire.Task(self.name, block, attempt, roi.start, roi.stop, slot)

    def _slot_for(self, block: int, voxels: int) -> wire.Slot | None:
        slot = None
        if self.spec.merge_dtype is not None:
            # The slot of an earlier attempt serves again: whoever had it has answered or is dead.
            slot = self._slots.get(block) or self._free_slot(voxels * self.spec.merge_dtype.itemsize)
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

    def keep_reply(self, reply: wire.TaskDone) -> None:
        """Keep a worker's answer about a finished block until the block is final."""
        self._replies[reply.block] = reply

    def _add_to_totals(self, reply: wire.TaskDone) -> None:
        """Add a finished block to the totals; a block whose result is dropped is never added."""
        totals = self.handle.progress
        totals.blocks += 1
        totals.skipped += reply.skipped
        if not reply.skipped:
            totals.voxels += reply.voxels
        totals.bytes_read += reply.nbytes_read
        totals.bytes_written += reply.nbytes_written
        totals.unrecorded += reply.unrecorded

    def result(self, block: int) -> Result:
        """The result of a block, to be merged; its slot is free again once the array is gone."""
        assert self.spec.merge_dtype is not None and self._arena is not None
        roi = self.spec.blocks.roi_of(block)
        array = self._arena.result(self._slots.pop(block), roi.shape, self.spec.merge_dtype)
        return Result(block, roi, array, self._replies[block].crc32)

    def drop(self, block: int) -> None:
        """Release a result that will not be merged."""
        if (slot := self._slots.pop(block, None)) is not None and self._arena is not None:
            self._arena.give_back(slot)
        self._replies.pop(block, None)

    def persist(self, ended: Persist) -> None:
        """Record the end of a block in the submitter's log, if there is one."""
        reply = self._replies.pop(ended.block, None)
        if reply is not None and ended.state == "done":
            self._add_to_totals(reply)
        if (events := self.spec.events) is not None:
            events.block(ended.block, self.spec.blocks.roi_of(ended.block), ended, reply)

    def log_attempt(self, attempt: Attempted) -> None:
        """Record a failed attempt in the submitter's log, if there is one."""
        if (events := self.spec.events) is not None:
            events.attempt(attempt)

    def close(self) -> list[int]:
        """Give back the shared memory. Returns the numbers of the segments that workers may release.

        It is not kept for the next job if a worker may still write to it, or if this job acted as a user:
        the next one may be another's.
        """
        if self._arena is None:
            return []
        for block in list(self._slots):  # results that nobody has merged
            self.drop(block)
        keep = not self.leased_blocks and self.recipe.identity is None
        return self._arenas.give_back(self._arena, keep=keep)


def _complete_recipe(spec: JobSpec) -> wire.Recipe:
    """The recipe, completed with the settings of the spec."""
    prompt, blocks, grid = spec.block_timeout_s is not None, spec.blocks, None
    if isinstance(blocks, BlockGrid):
        grid = wire.Grid(blocks.roi.start, blocks.roi.stop, blocks.block_shape, blocks.anchor)
    return msgspec.structs.replace(spec.recipe, grid=grid, prompt=prompt)


class SentTasks:
    """The tasks that a worker was sent and has not answered, numbered from 1 in order of sending."""

    def __init__(self) -> None:
        self._count = 0
        self._leases: dict[int, wire.Lease] = {}

    def add(self, lease: wire.Lease) -> None:
        """Note a task that goes out."""
        self._count += 1
        self._leases[self._count] = lease

    def remove(self, lease: wire.Lease) -> None:
        """Forget a task, and those sent before it: a worker does them in order."""
        first = next(iter(self._leases), 0)
        if self._leases.get(first) == lease:
            del self._leases[first]
        elif lease in self._leases.values():  # else a later one was answered before it
            while self._leases.pop(first) != lease:
                first = next(iter(self._leases))

    def number(self, number: int | None) -> wire.Lease | None:
        """The lease of the `number`-th task that was sent, or None if it has been answered."""
        return None if number is None else self._leases.get(number)
