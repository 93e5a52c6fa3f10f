"""An executor without processes: the engine's thread does the tasks itself, one after the other.

It is the fake for tests of everything above executors, and runs what worker processes run, message by
message. It protects from nothing: a task that never ends holds the engine, and output is not collected.
"""

from __future__ import annotations

import itertools
import select
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

from ...shared.messages import engine as wire
from ...shared.messages.records import WorkerInfo
from .api import Answered, Died, News, Printed, Retiring, Up, WorkerLimits
from .outbox import Envelope
from .shared_memory import SharedMemoryExecutor


class WorkerDied(BaseException):
    """Raised in a task: the worker that does it ends, with this reason."""


class TaskServer(Protocol):
    """The inside of a worker: `workers.jobs.WorkerJobs`, or a test's own."""

    def handle(self, message: wire.Prepare | wire.MapSegment | wire.Forget) -> None:
        """Take a message about jobs or memory."""

    def do(self, task: wire.Task) -> wire.TaskReply:
        """Make an attempt at a block; any error of it is the reply."""
        ...

    def close(self) -> None:
        """Close the volumes of all jobs."""


class _Worker:
    def __init__(self, server: TaskServer) -> None:
        self.server = server
        self.tasks: deque[wire.Task] = deque()
        self.done = 0


class InlineExecutor(SharedMemoryExecutor):
    """Workers that are no processes; see `api.Executor` for what the methods do.

    Parameters
    ----------
    make_server : callable
        Makes the inside of a worker, in the engine's thread.
    count : int
        Number of workers.
    become_owners : bool
        Whether what `make_server` makes can do jobs of users; a process that does more than work can't.
    """

    def __init__(
        self, make_server: Callable[[], TaskServer], count: int = 1, *, become_owners: bool = False
    ) -> None:
        super().__init__()
        self.become_owners = become_owners
        self.count = count
        self._make_server = make_server
        self._worker_numbers = itertools.count()
        self._workers: dict[int, _Worker] = {}
        self._news: deque[News] = deque()
        self._retiring: set[int] = set()
        self._stopping = False

    # -- life -----------------------------------------------------------------------

    def start(self) -> None:
        """Make the workers."""
        self._fill()

    def _fill(self) -> None:
        while not self._stopping and len(self._workers) - len(self._retiring) < self.count:
            number = next(self._worker_numbers)
            self._workers[number] = _Worker(self._make_server())
            self._news.append(Up(number))

    def wait(self, descriptor: int, timeout_s: float) -> None:
        """Wait for the descriptor, if there is nothing to do."""
        busy = self._news or any(worker.tasks for worker in self._workers.values())
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll(0 if busy else 1000 * timeout_s)

    def stop(self, now_s: float) -> None:
        """End all workers."""
        self._stopping = True
        for worker in list(self._workers):
            self.kill(worker, "the engine closes", 0)

    @property
    def alive(self) -> bool:
        """True while there are workers, or news of their end."""
        return bool(self._workers or self._news)

    def close(self) -> None:
        """Close all volumes, and release all memory."""
        for worker in self._workers.values():
            worker.server.close()
        self._workers.clear()
        self._release_memory()

    # -- news -----------------------------------------------------------------------

    def news(self, now_s: float) -> Iterator[News]:
        """Let every worker do one task; yield the answers, and what was decided before."""
        while self._news:
            yield self._news.popleft()
        for number, worker in list(self._workers.items()):
            if worker.tasks and number in self._workers:
                yield self._do_next(number, worker)
        for number in [w for w in self._retiring if not self._outbox.leases(w)]:
            self._retiring.discard(number)
            self._end(number, "it retired")
        self._fill()

    def _do_next(self, number: int, worker: _Worker) -> News:
        task = worker.tasks.popleft()
        lease = wire.Lease(task.job, task.block, task.attempt)
        try:
            reply = worker.server.do(task)
        except WorkerDied as death:
            self._forget(number)
            return Died(number, str(death), running=lease)
        worker.done += 1
        self._outbox.note_reply(number, lease)
        return Answered(number, [reply])

    def _end(self, number: int, reason: str) -> None:
        self._forget(number)
        self._news.append(Died(number, reason))

    def _forget(self, number: int) -> None:
        self._workers.pop(number).server.close()
        self._outbox.forget(number, None)

    def output(self) -> Iterable[Printed]:
        """Return nothing: what tasks print goes where this process prints."""
        return ()

    def workers(self, now_s: float) -> tuple[WorkerInfo, ...]:
        """Return the workers; between two calls none of them is busy."""
        return tuple(
            WorkerInfo(
                worker=number,
                pid=0,
                rss_bytes=0,
                age_s=0.0,
                tasks=worker.done,
                retiring=number in self._retiring,
            )
            for number, worker in self._workers.items()
        )

    # -- orders ---------------------------------------------------------------------

    def kill(self, worker: int, reason: str, grace_s: float) -> None:
        """End a worker; no task of it runs at this moment."""
        if worker in self._workers:
            self._retiring.discard(worker)
            self._end(worker, reason)

    def replace(self, worker: int) -> None:
        """Let a worker finish its tasks, and then make another one in its place."""
        self._retiring.add(worker)

    def set_count(self, count: int) -> None:
        """Set the number of workers."""
        self.count = count
        active = [number for number in self._workers if number not in self._retiring]
        for number in active[count:]:
            self._retiring.add(number)
            self._news.append(Retiring(number))
        self._fill()

    def set_limits(self, limits: WorkerLimits, memory_bytes: int | None) -> None:
        """Do nothing: the workers have no memory of their own."""

    def _living(self) -> Collection[int]:
        return self._workers

    def _send(self, envelopes: Iterable[Envelope]) -> None:
        for envelope in envelopes:
            if (worker := self._workers.get(envelope.worker)) is None:
                continue  # it has ended, and nothing that it holds matters any more
            match envelope.message:
                case wire.Run(tasks=tasks):
                    worker.tasks.extend(tasks)
                case wire.Prepare() | wire.MapSegment() | wire.Forget() as message:
                    worker.server.handle(message)
                case message:
                    raise TypeError(f"no message for a worker: {message!r}")
