"""The interface between an engine and its executor: orders go down, news come up.

An executor has workers and does attempts at blocks on them. It decides nothing about blocks: the
engine's coordinator says which worker does which block. All methods but `lend` are called in the
engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...shared.geometry.grid import BlockGrid, RoiList
from ...shared.memory.arena import SharedBuffer
from ...shared.messages.engine import Lease, MapSegment, Recipe, TaskReply
from ...shared.messages.records import WorkerInfo


class NoRoom(Exception):
    """There is no memory, or no file descriptor, left for the result of a block."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Limits of one worker, and the conditions under which it is replaced by a fresh one.

    Attributes
    ----------
    memory_bytes : int or None
        Most resident memory; a worker that takes more is killed.
    recycle_tasks : int or None
        Blocks after which it is replaced.
    recycle_age_s : float or None
        Age at which it is replaced.
    recycle_growth_bytes : int or None
        Growth of its resident memory, since its first block, at which it is replaced.
    """

    memory_bytes: int | None = None
    recycle_tasks: int | None = None
    recycle_age_s: float | None = None
    recycle_growth_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorJob:
    """The facts of a job that an executor needs.

    Attributes
    ----------
    name : str
        The engine's name for it.
    recipe : Recipe
        Instructions for a block.
    blocks : BlockGrid or RoiList
        The blocks; a RoiList may grow.
    result_dtype : numpy.dtype or None
        Results of this element type come back; None: workers write them.
    shared_buffers : tuple of MapSegment
        Memory from `lend` that the recipe names.
    memory_bytes : int or None
        Most resident memory of a worker that does a block of this job.
    number : int or None
        The submitter's own number for the job.
    """

    name: str
    recipe: Recipe
    blocks: BlockGrid | RoiList
    result_dtype: np.dtype | None = None
    shared_buffers: tuple[MapSegment, ...] = ()
    memory_bytes: int | None = None
    number: int | None = None


# -- news ---------------------------------------------------------------------------


class Up(msgspec.Struct, frozen=True):
    """A worker is ready for blocks."""

    worker: int


class Answered(msgspec.Struct, frozen=True):
    """A worker has done tasks, in this order."""

    worker: int
    replies: Sequence[TaskReply]


class Died(msgspec.Struct, frozen=True):
    """A worker has ended, and all that it held with it.

    Attributes
    ----------
    worker : int
    reason : str
        The reason, for people.
    was_up : bool
        False if `Up` never came.
    running : Lease or None
        The attempt that it was in.
    out_of_memory : bool
    """

    worker: int
    reason: str
    was_up: bool = True
    running: Lease | None = None
    out_of_memory: bool = False


class Retiring(msgspec.Struct, frozen=True):
    """A worker ends once its tasks are done; it is to get no more of them."""

    worker: int


class Capacity(msgspec.Struct, frozen=True):
    """So many workers may be busy at the same time."""

    busy: int


class Remark(msgspec.Struct, frozen=True):
    """A message for the submitters of all jobs."""

    text: str


class Printed(msgspec.Struct, frozen=True):
    """A line that a worker or the user's code in it has printed, in its attempt `lease` if that is known.

    `uid` is the user that the worker has become, if it has: the line is for nobody else.
    """

    worker: int
    text: str
    lease: Lease | None = None
    uid: int | None = None


News = Up | Answered | Died | Retiring | Capacity | Remark


# -- orders -------------------------------------------------------------------------


class Executor(Protocol):
    """Workers, and the way to them.

    Attributes
    ----------
    count : int
        Number of workers that it keeps.
    """

    count: int

    def start(self) -> None:
        """Start the workers; `Up` tells of each that is ready.

        Raises
        ------
        EngineError, OSError
            If there will be none.
        """

    def wait(self, descriptor: int, timeout_s: float) -> None:
        """Wait until there is news, or `descriptor` is readable, or the time is over.

        Parameters
        ----------
        descriptor : int
        timeout_s : float
        """

    def news(self, now_s: float) -> Iterable[News]:
        """Yield what has happened, and take care of the workers; call it several times a second.

        It goes on after the caller has acted on what it yielded. After `Died` of a worker there is no
        other news of it. Late and doubled replies may come.

        Raises
        ------
        EngineError
            If the executor itself is broken.
        """
        ...

    def output(self) -> Iterable[Printed]:
        """Return the lines printed since the last call."""
        ...

    def add_job(self, job: ExecutorJob) -> None:
        """Take a job whose blocks will be assigned."""

    def assign(self, worker: int, lease: Lease, *, alone: bool) -> None:
        """Let a worker do a block, after those that it has been assigned already.

        Parameters
        ----------
        worker : int
        lease : Lease
        alone : bool
            No other worker holds a block, for want of memory.

        Raises
        ------
        NoRoom
            If its result has no room; nothing is assigned then.
        """

    def flush(self) -> None:
        """Send what the calls of this turn have gathered."""

    def kill(self, worker: int, reason: str, grace_s: float) -> None:
        """End a worker with its tasks; `Died` follows within a bounded time.

        Parameters
        ----------
        worker : int
        reason : str
            The reason, for people.
        grace_s : float
            Time to unwind; 0 kills at once.
        """

    def take_result(self, job: str, block: int) -> NDArray[Any]:
        """Return the voxels of a block that was answered as done; once a block.

        The death of its worker does not touch them; the memory is free again once no array refers to it.

        Parameters
        ----------
        job : str
        block : int

        Returns
        -------
        ndarray
            Of the shape of the block, without halo.
        """
        ...

    def drop_result(self, job: str, block: int) -> None:
        """Release the room of a result that nobody will take.

        Parameters
        ----------
        job : str
        block : int
        """

    def end_job(self, name: str) -> None:
        """Forget a job. Blocks of it that are still assigned belong to workers that were killed."""

    def workers(self, now_s: float) -> tuple[WorkerInfo, ...]:
        """Return the workers and their current tasks, for people."""
        ...

    def stop(self, now_s: float) -> None:
        """End all workers, and start no more; news tell of their deaths."""

    @property
    def alive(self) -> bool:
        """True while some worker is known to run."""
        ...

    def close(self) -> None:
        """Give everything back, whatever state it is in; workers that still run are killed."""

    def lend(self, nbytes: int, on_release: Callable[[int], None]) -> SharedBuffer:
        """Return pre-faulted memory that workers can open; in any thread.

        Parameters
        ----------
        nbytes : int
        on_release : callable
            Called with the buffer's number, in any thread, when no array uses it any more; it is to lead to
            `release`.

        Raises
        ------
        EngineError
            If the workers are on other machines.
        """
        ...

    def release(self, segment: int) -> None:
        """Let the workers forget a lent buffer."""


@runtime_checkable
class Replacing(Protocol):
    """An executor whose workers become the owner of their first job, where a recipe names a user.

    They do blocks of that user alone from then on; the engine sees to that.

    Attributes
    ----------
    become_owners : bool
        False: they can't, and jobs with a user are refused.
    """

    become_owners: bool

    def replace(self, worker: int) -> None:
        """Let a worker finish its tasks, and then start another one in its place; `Retiring` may tell of it.

        Parameters
        ----------
        worker : int
        """


@runtime_checkable
class Resizable(Protocol):
    """An executor whose workers can be more or fewer, and have other limits, while it runs."""

    def set_count(self, count: int) -> None:
        """Set the number of workers; surplus ones end after their current tasks."""

    def set_limits(self, limits: WorkerLimits, memory_bytes: int | None) -> None:
        """Change the memory limits.

        Parameters
        ----------
        limits : WorkerLimits
            Limits of each worker.
        memory_bytes : int or None
            Memory of all workers together; None: no limit.
        """
