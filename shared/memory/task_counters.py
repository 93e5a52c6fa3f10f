"""The current task of a worker, kept where it survives the worker.

A worker that is killed can't report its current block, and answers that it had sent may be
lost with it. So it counts the tasks that it has begun and ended in shared memory; the
coordinator's side, which knows in what order it sent them, looks there after the death. Each worker
has memory of its own: none can change the counts of another.
"""

from __future__ import annotations

from .arena import Segment


class TaskCounters:
    """The two counters of one worker, in shared memory.

    Parameters
    ----------
    path : str, optional
        Attach to the memory at this path instead of making some.
    """

    def __init__(self, path: str | None = None) -> None:
        self._segment = Segment(2 * 8, path)
        self._counts = memoryview(self._segment.map).cast("q")

    @property
    def path(self) -> str:
        """The path at which another process opens it, until `close_file`."""
        return self._segment.path

    def close_file(self) -> None:
        """Close the file, because the worker has opened it; the counts are still there."""
        self._segment.close()

    def begin(self) -> None:
        """Count a task that begins."""
        self._counts[0] += 1

    def end(self) -> None:
        """Count a task that has ended, well or not."""
        self._counts[1] += 1

    @property
    def running(self) -> int | None:
        """The number of the worker's current task, in the order sent, from 1; None between tasks."""
        begun, ended = self._counts
        return begun if begun > ended else None

    def close(self) -> None:
        """Give the memory up."""
        self._counts.release()
        self._segment.close()
