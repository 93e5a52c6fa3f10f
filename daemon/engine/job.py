"""One job as its submitter gives it to the engine, and as the engine's thread holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...shared.geometry.grid import BlockGrid, RoiList
from ...shared.geometry.roi import Roi
from ...shared.messages import engine as wire
from ...shared.system.confinement import Confinement
from ...shared.system.impersonation import Identity
from ..executors.api import ExecutorJob
from ..scheduling.events import Attempted, OnError, Persist, Submit
from .handle import JobHandle, Result


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
    merge_records : bool
        Records of the blocks come back to the submitter, with or without voxels.
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
    merge_records: bool = False
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
    """A job inside the engine: its blocks that are with workers or with the submitter, and its totals."""

    def __init__(self, name: str, spec: JobSpec, send_command: Callable[..., None]) -> None:
        self.name = name
        self.spec = spec
        self.handle = JobHandle(name, send_command)
        self.leased_blocks: set[int] = set()  # blocks given to a worker that have not come back
        self.merging_blocks: set[int] = set()  # results that are with the submitter
        self.error_kinds: dict[int, str] = {}  # class of the last error of a block, where it is one of ours
        self._replies: dict[int, wire.TaskDone] = {}  # of blocks that are not final yet

    @property
    def uid(self) -> int | None:
        """The user that its workers become, if they do."""
        identity = self.spec.recipe.identity
        return None if identity is None else identity.uid

    def submission(self) -> Submit:
        """The event that adds this job to the coordinator."""
        spec = self.spec
        return Submit(
            self.name,
            len(spec.blocks),
            retries=spec.retries,
            on_error=spec.on_error,
            merge=spec.merge_dtype is not None or spec.merge_records,
            max_open=spec.max_open,
            parallel_merges=spec.parallel_merges,
            ordered=spec.ordered,
            done=spec.done or None,
            sealed=spec.sealed,
            block_timeout_s=spec.block_timeout_s,
            owner=spec.owner.name,
            user=spec.recipe.identity,
            priority=spec.owner.priority,
            probe=spec.recipe.probe and len(spec.blocks) == 1,
        )

    def for_executor(self) -> ExecutorJob:
        """The job as the executor takes it."""
        spec = self.spec
        return ExecutorJob(
            name=self.name,
            recipe=msgspec.structs.replace(spec.recipe, prompt=spec.block_timeout_s is not None),
            blocks=spec.blocks,
            result_dtype=spec.merge_dtype,
            shared_buffers=spec.shared_buffers,
            memory_bytes=spec.memory_bytes,
            number=spec.number,
        )

    def cut_off(self) -> list[Roi]:
        """The blocks that were with a worker when the job ended."""
        return [self.spec.blocks.roi_of(block) for block in self.leased_blocks]

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
        totals.masked += reply.masked

    def result(self, block: int, array: NDArray[Any] | None) -> Result:
        """The result of a block, to be merged.

        Parameters
        ----------
        block : int
        array : ndarray or None
            The voxels that the executor returned; None: the block has a record alone.

        Returns
        -------
        Result
        """
        reply = self._replies[block]
        return Result(block, self.spec.blocks.roi_of(block), array, reply.crc32, reply.record)

    def drop(self, block: int) -> None:
        """Forget the answer about a block whose result will not be merged."""
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
