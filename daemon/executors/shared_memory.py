"""The common part of executors whose workers share this machine's memory: jobs, tasks, results."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Any

from numpy.typing import NDArray

from ...shared.memory.arena import Arenas, SharedBuffer
from ...shared.messages import engine as wire
from .api import ExecutorJob
from .outbox import Envelope, Outbox
from .slotted_job import SlottedJob


class SharedMemoryExecutor(ABC):
    """The part of `api.Executor` about jobs and their results; see there for what the methods do."""

    def __init__(self) -> None:
        self._segment_numbers = itertools.count(1)
        self._arenas = Arenas(self._segment_numbers)
        self._jobs: dict[str, SlottedJob] = {}
        self._outbox = Outbox(self._jobs)

    @abstractmethod
    def _send(self, envelopes: Iterable[Envelope]) -> None:
        """Send messages to workers; those for workers that have ended are dropped."""

    @abstractmethod
    def _living(self) -> Collection[int]:
        """The numbers of the workers that live."""

    def add_job(self, job: ExecutorJob) -> None:
        """Take a job."""
        self._jobs[job.name] = SlottedJob(job, self._arenas)

    def assign(self, worker: int, lease: wire.Lease, *, alone: bool) -> None:
        """Send a block to a worker with the next `flush`."""
        self._outbox.add(worker, lease)

    def flush(self) -> None:
        """Send the tasks."""
        self._send(self._outbox.envelopes())

    def take_result(self, job: str, block: int) -> NDArray[Any]:
        """Return the array in the block's slot."""
        return self._jobs[job].take_result(block)

    def drop_result(self, job: str, block: int) -> None:
        """Release the block's slot."""
        self._jobs[job].drop_result(block)

    def end_job(self, name: str) -> None:
        """Let the workers forget a job, and give its memory back."""
        self._send(self._outbox.end_job(self._jobs.pop(name), self._living()))

    def lend(self, nbytes: int, on_release: Callable[[int], None]) -> SharedBuffer:
        """Return memory that workers open by its number."""
        return SharedBuffer(next(self._segment_numbers), nbytes, on_release)

    def release(self, segment: int) -> None:
        """Let the workers forget a lent buffer."""
        self._send(self._outbox.release(segment))

    def _release_memory(self) -> None:
        """Give the memory of all jobs back, when no worker is left."""
        for job in self._jobs.values():
            job.close(in_use=True)
        self._jobs.clear()
        self._arenas.close()
