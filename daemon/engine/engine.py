"""The engine: worker processes, and the thread that feeds them.

It is the same engine in a caller's process and in the daemon.
"""

from __future__ import annotations

import atexit
import itertools
import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any

from ...shared.errors import EngineError
from ...shared.memory.arena import SharedBuffer
from ..executors.api import Executor, Resizable, WorkerLimits
from ..executors.local.executor import LocalExecutor, LocalWorkers
from ..executors.local.nursery import NurseryProcess
from .handle import JobHandle
from .job import EngineJob, JobSpec
from .loop import Dispatcher, View
from .mailbox import Mailbox


class Engine:
    """Worker processes and the thread that feeds them.

    Use it as a context manager, or call `close`: workers, shared memory and the private
    folder go away with it. If this process dies in any way, the kernel ends the workers.

    Parameters
    ----------
    workers : int, optional
        Number of worker processes. Default: the processors that this process may use.
    preload : iterable of str
        Modules imported once for all workers, before they are forked.
    fork : bool
        Fork the workers' common parent from this process, if it has a single thread, instead of starting
        an interpreter: 0.2 s faster and 20 to 30 MB smaller. Only for blockmill's own programs, see
        `NurseryProcess`: files and threads of another caller are unknown.
    limits : WorkerLimits, optional
        Memory limits of a worker, and the conditions under which it is replaced by a fresh one.
    memory_bytes : int, optional
        Memory of all workers together, in bytes; fewer are busy if they would need more. In any case
        fewer are busy when the machine runs short of memory.
    become_owners : bool
        Workers become the owner of their first job for good, where jobs have one (`JobOwner.identity`).
    executor : Executor, optional
        Does the tasks, not started yet; then nothing else is given. Default: processes of this machine.
    """

    def __init__(
        self,
        workers: int | None = None,
        preload: Iterable[str] = (),
        *,
        fork: bool = False,
        limits: WorkerLimits | None = None,
        memory_bytes: int | None = None,
        become_owners: bool = False,
        executor: Executor | None = None,
    ) -> None:
        self._forked: NurseryProcess | None = None
        asked = LocalWorkers(
            count=workers or len(os.sched_getaffinity(0)),
            limits=limits or WorkerLimits(),
            memory_bytes=memory_bytes,
            become_owners=become_owners,
        )
        self._executor = executor or self._local(asked, tuple(preload), fork)
        self.workers = self._executor.count
        self._numbers = itertools.count(1)
        self._mailbox = Mailbox()
        self._dispatcher = Dispatcher(self._executor, self._mailbox)
        # A daemon thread: an engine that nobody closed must not keep the interpreter from its end.
        self._thread = threading.Thread(target=self._dispatcher.run, name="blockmill-engine", daemon=True)
        self._owner = os.getpid()
        self._thread.start()
        atexit.register(self.close)

    def _local(self, asked: LocalWorkers, preload: tuple[str, ...], fork: bool) -> LocalExecutor:
        self._forked = forked = _forked_nursery(preload) if fork and threading.active_count() == 1 else None
        return LocalExecutor(replace(asked, nursery=lambda: forked or NurseryProcess(preload)))

    def submit(self, order: JobSpec) -> JobHandle:
        """Start a job.

        Returns
        -------
        JobHandle
            Delivers its results and its end, to any one thread.

        Raises
        ------
        EngineError
            If the engine is closed or has broken down.
        """
        job = EngineJob(f"j{next(self._numbers)}", order, self._send_command)
        if not self._mailbox.put("submit", job):
            raise EngineError(f"{self._dispatcher.cause}; make a new one")
        return job.handle

    def lend(self, nbytes: int) -> SharedBuffer:
        """Pre-faulted shared memory of `nbytes`, for jobs that name it in `shared_buffers`.

        Workers release it by themselves once no array uses it any more.
        """
        return self._executor.lend(nbytes, lambda number: self._send_command("release", number))

    @property
    def view(self) -> View:
        """The workers and their current tasks, not older than a few tenths of a second."""
        return self._dispatcher.view

    @property
    def alive(self) -> bool:
        """True if it is neither closed nor broken down."""
        return self._thread.is_alive() and not self._dispatcher.ended

    @property
    def _cause(self) -> str:
        """Why it has ended, once it has."""
        return self._dispatcher.cause

    def drain(self, draining: bool = True) -> None:
        """Start no more blocks at all. With False, start some again."""
        self._send_command("drain", draining)

    def set_workers(self, count: int) -> None:
        """Set the number of workers. Surplus workers end after their current block.

        Raises
        ------
        EngineError
            If the executor can't do that.
        """
        self._check_resizable()
        self.workers = count
        self._send_command("set_workers", count)

    def set_limits(self, limits: WorkerLimits, memory_bytes: int | None) -> None:
        """Change the limits of each worker, and of all together.

        Parameters
        ----------
        limits : WorkerLimits
            Memory limits of a worker, and the conditions under which it is replaced.
        memory_bytes : int or None
            Memory of all workers together, in bytes; None sets no limit.

        Raises
        ------
        EngineError
            If the executor can't do that.
        """
        self._check_resizable()
        self._send_command("set_limits", limits, memory_bytes)

    def _check_resizable(self) -> None:
        if not isinstance(self._executor, Resizable):
            raise EngineError("the workers of this executor can't be changed while it runs")

    def close(self) -> None:
        """Cancel running jobs, end the workers, remove everything that the engine made."""
        atexit.unregister(self.close)
        if os.getpid() == self._owner:  # a forked child must not end its parent's workers
            self._send_command("close")
            self._thread.join()
            if self._forked is not None:
                self._forked.close(0)  # if the thread came to its end before it took it over

    def _send_command(self, *command: Any) -> None:
        self._mailbox.put(*command)  # a dead engine needs no commands: its jobs have ended

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _forked_nursery(preload: tuple[str, ...]) -> NurseryProcess | None:
    """Fork the nursery before there are threads. Returns None if that fails.

    The engine's thread then starts one, or reports to all waiting callers why it can't.
    """
    try:
        return NurseryProcess(preload, fork=True)
    except OSError:
        return None
