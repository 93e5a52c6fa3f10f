"""The current task of each worker, kept where it survives the worker.

A worker that is killed can't report its current block, and answers that it had sent may be
lost with it. So it counts the tasks that it has begun and ended in shared memory; the
coordinator's side, which knows in what order it sent them, looks there after the death.
"""

from __future__ import annotations

from .arena import Segment

_PER_WORKER = 2


class TaskCounters:
    """Two counters a worker, in a segment of shared memory.

    Parameters
    ----------
    workers : int
        Number of workers.
    path : str, optional
        Attach to the segment at this path instead of making one.
    """

    def __init__(self, workers: int, path: str | None = None) -> None:
        self._segment = Segment(workers * _PER_WORKER * 8, path)
        self._counts = memoryview(self._segment.map).cast("q")

    @property
    def path(self) -> str:
        """The path at which other processes open it."""
        return self._segment.path

    def clear(self, index: int) -> None:
        """Set the counters at `index` to 0, for a new worker."""
        self._counts[index * _PER_WORKER] = self._counts[index * _PER_WORKER + 1] = 0

    def begin(self, index: int) -> None:
        """Count a task that begins."""
        self._counts[index * _PER_WORKER] += 1

    def end(self, index: int) -> None:
        """Count a task that has ended, well or not."""
        self._counts[index * _PER_WORKER + 1] += 1

    def running(self, index: int) -> int | None:
        """The number of the worker's current task, in the order sent, from 1; None between tasks."""
        begun, ended = self._counts[index * _PER_WORKER], self._counts[index * _PER_WORKER + 1]
        return begun if begun > ended else None

    def close(self) -> None:
        """Close the segment."""
        self._counts.release()
        self._segment.close()
