"""Keeps worker processes alive: starts them, watches them, replaces the dead.

It owns the nursery, the process that forks workers; see `nursery`. It decides nothing
about blocks: `deaths` yields the dead workers with reasons, the engine reports them to the coordinator.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from ....shared.errors import EngineError
from ....shared.memory.task_counters import TaskCounters
from ....shared.messages import engine as wire
from ....shared.units import format_duration
from ..api import WorkerLimits
from .memory import oom_kills
from .nursery import NurseryProcess
from .post_mortem import Death, PostMortem
from .starts import START_PROCESSOR_S, Starts
from .worker import WorkerProcess
from .worker_log import OutputLine, tail

GRACE_S = 0.7
"""Time that a worker gets to unwind after SIGTERM, before SIGKILL follows."""
SILENCE_S = 10.0
"""A worker that neither speaks nor uses the processor for so long is taken for frozen."""


# A child that the user's program forks inherits the lifeline, and workers would outlive their
# coordinator for as long as that child lives. While a nursery starts, it would inherit the pipe on
# which Popen waits for the end of file, too, and the start would last as long as the child: so a
# fork waits until the start is over, and all that is there to let go of is known.
_supervisors: weakref.WeakSet[Supervisor] = weakref.WeakSet()
_starting = threading.RLock()


def _after_in_child() -> None:
    _starting.release()
    for supervisor in list(_supervisors):
        supervisor.forget_in_child()


os.register_at_fork(
    before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_after_in_child
)


class Supervisor:
    """Keeps `count` workers running.

    Parameters
    ----------
    count : int
        Number of workers.
    endpoint : str
        The socket that workers connect to.
    run_dir : Path
        Private folder for the logs of workers.
    nursery : callable
        Starts the nursery.
    limits : WorkerLimits
        Memory of a worker, and when it is replaced.
    become_owners : bool
        Workers become the owner of their first job: files are handed over to them.
    """

    def __init__(
        self,
        count: int,
        endpoint: str,
        run_dir: Path,
        nursery: Callable[[], NurseryProcess] = NurseryProcess,
        limits: WorkerLimits | None = None,
        *,
        become_owners: bool = False,
    ) -> None:
        self.count = count
        self._become_owners = become_owners
        self.limits = limits or WorkerLimits()
        self._endpoint = endpoint
        self._run_dir = run_dir
        self._next = 0
        self._spawned = False
        self._starts = Starts()
        self.workers: dict[int, WorkerProcess] = {}
        self._output: list[OutputLine] = []
        self._oom_kills = oom_kills()
        with _starting:
            self._nursery = nursery()
            _supervisors.add(self)

    @property
    def alive(self) -> bool:
        """True if some worker process is known to run."""
        return any(worker.pid for worker in self.workers.values())

    def forget_in_child(self) -> None:
        """In a forked child: close everything that ties the workers to this process."""
        self._nursery.forget_in_child()

    def fileno(self) -> int:
        """The descriptor to poll for news."""
        return self._nursery.control.fileno()

    # -- orders ---------------------------------------------------------------------

    def fill(self, now_s: float) -> None:
        """Start workers until `count` are there, at the pace that failures allow."""
        self._starts.check_failures()
        self._check_first_start(now_s)
        active = sum(not worker.retired for worker in self.workers.values())
        for _ in range(self.count - active):
            if now_s < self._starts.not_before_s:
                return
            try:
                self._start_worker(now_s)
            except OSError as error:  # no more descriptors, or no memory
                self._starts.note_death(
                    was_up=False, tasks=0, now_s=now_s, log=f"it can't be started: {error}"
                )

    def _start_worker(self, now_s: float) -> None:
        counters, files, theirs = TaskCounters(), None, None
        if self._become_owners:
            try:
                files, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            except OSError:
                counters.close()
                raise
        number, self._next = self._next, self._next + 1
        log_path = self._run_dir / f"worker-{number}.log"
        worker = WorkerProcess(number, log_path, counters, files, seen_s=now_s, started_s=now_s)
        self.workers[number] = worker
        self._send(wire.Spawn(number, self._endpoint, str(log_path), counters.path), file=theirs)

    def _check_first_start(self, now_s: float) -> None:
        """Raise `EngineError` if the first worker does not come up in time."""
        workers = self.workers.values()
        if self._next == 0:
            self._starts.began_s = now_s
        elif any(worker.up for worker in workers):
            self._starts.began_s = None
        if self._starts.began_s is not None:
            used_s = max([self._nursery.used_s(), *(worker.used_s() for worker in workers if worker.pid)])
            log = "\n".join(filter(None, [self._nursery.printed(), *(tail(w.log_path) for w in workers)][:3]))
            self._starts.check_first(now_s, used_s, log)

    def set_count(self, count: int) -> None:
        """Set the number of workers to keep; `surplus` then tells how many are too many."""
        self.count = count

    def surplus(self) -> int:
        """Number of workers beyond `count`, retiring ones not counted."""
        active = sum(not worker.retiring for worker in self.workers.values())
        return max(active - self.count, 0)

    def needs_recycling(self, now_s: float) -> list[tuple[int, str]]:
        """Workers to replace, each with the reason."""
        recycling = [
            (w.number, w.needs_recycling(self.limits, now_s)) for w in self.workers.values() if w.at_work
        ]
        return [(number, reason) for number, reason in recycling if reason is not None]

    def retiring(self, number: int) -> None:
        """Note that a worker gets no more tasks."""
        self.workers[number].retiring = True

    def retire(self, number: int, reason: str, now_s: float) -> bool:
        """End a worker that has nothing to do; another one may replace it at once.

        Parameters
        ----------
        number : int
        reason : str
            The reason, for people.
        now_s : float

        Returns
        -------
        bool
            False if it was ending already.
        """
        worker = self.workers.get(number)
        if worker is None or worker.kill_at_s is not None:
            return False
        worker.retired = True
        self.kill(number, reason, now_s)
        return True

    def over_limit(self, now_s: float, limit_of: Callable[[int], int | None]) -> list[tuple[int, int, int]]:
        """Workers that take more memory than they may.

        It asks the system, not the workers: one that holds the interpreter lock would not answer.

        Parameters
        ----------
        now_s : float
        limit_of : callable
            Takes a worker's number, returns its limit in bytes, or None.

        Returns
        -------
        list of (int, int, int)
            Number, resident bytes, limit in bytes.
        """
        over_limit: list[tuple[int, int, int]] = []
        for worker in self.workers.values():
            if not worker.pid or worker.kill_at_s is not None:
                continue
            worker.poll_memory()
            worker.limit_bytes = limit_of(worker.number)
            if worker.limit_bytes is not None and worker.rss_bytes > worker.limit_bytes:
                over_limit.append((worker.number, worker.rss_bytes, worker.limit_bytes))
        return over_limit

    def kill(
        self,
        number: int,
        reason: str,
        now_s: float,
        grace_s: float = GRACE_S,
        *,
        out_of_memory: bool = False,
    ) -> None:
        """End a worker: SIGTERM now, SIGKILL after `grace_s` seconds.

        Parameters
        ----------
        number : int
        reason : str
            The reason, for people.
        now_s : float
        grace_s : float
            0 kills at once.
        out_of_memory : bool
            True if it took too much memory.
        """
        worker = self.workers.get(number)
        if worker is None or worker.kill_at_s is not None:
            return
        worker.reason, worker.kill_at_s = reason, now_s + grace_s
        worker.out_of_memory = out_of_memory
        if grace_s > 0:
            self._send(wire.SendSignal(number, signal.SIGTERM, worker.uid))
        self.enforce(now_s)

    def enforce(self, now_s: float) -> None:
        """Send SIGKILL to the workers whose grace is over."""
        for worker in self.workers.values():
            if worker.kill_at_s is not None and now_s >= worker.kill_at_s:
                self._send(wire.SendSignal(worker.number, signal.SIGKILL, worker.uid))
                worker.kill_at_s = now_s + GRACE_S

    def _send(self, *orders: wire.ToNursery, file: socket.socket | None = None) -> None:
        """Send orders to the nursery. Without any, send those that wait for room in its socket."""
        try:
            self._nursery.send(*map(wire.encode, orders), file=file)
        except OSError as error:
            raise EngineError(
                f"the nursery of the workers is gone: {self._nursery.last_words(GRACE_S)}"
            ) from error

    # -- news -----------------------------------------------------------------------

    def deaths(self, now_s: float) -> Iterator[Death]:
        """The deaths that the nursery has reported since the last call.

        Raises
        ------
        EngineError
            If the nursery itself ended; no worker can be started or reaped then.
        """
        while (packet := self._packet()) is not None:
            if not packet:
                reason = self._nursery.last_words(GRACE_S)
                raise EngineError(f"the nursery of the workers ended ({reason}); run it again")
            match wire.decode_from_nursery(packet):
                case wire.Spawned(worker=number, pid=pid):
                    self.workers[number].pid = pid
                    self._spawned = True
                case wire.Exited() as exited:
                    yield self._reap(exited, now_s)
        self._send()

    def _packet(self) -> bytes | None:
        try:
            return self._nursery.control.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    def _reap(self, exited: wire.Exited, now_s: float) -> Death:
        worker = self.workers.pop(exited.worker)
        running = worker.counters.running
        self._collect_output(worker, running, last=True)
        post_mortem = self._post_mortem(worker, exited)
        worker.log_path.unlink(missing_ok=True)
        death = Death(worker.number, post_mortem.text(), worker.up, running, post_mortem)
        worker.close()
        if worker.up:
            self._starts.began_s = None
        if worker.kill_at_s is None or not (worker.up or worker.retired):
            log = worker.reason or post_mortem.log
            self._starts.note_death(was_up=worker.up, tasks=worker.tasks, now_s=now_s, log=log)
        return death

    def _post_mortem(self, worker: WorkerProcess, exited: wire.Exited) -> PostMortem:
        kernel_killed = False
        if exited.exit_code == -signal.SIGKILL and not worker.reason:
            kills, self._oom_kills = self._oom_kills, oom_kills()
            kernel_killed = self._oom_kills > kills
        return PostMortem(
            worker=worker.number,
            pid=exited.pid,
            exit_code=exited.exit_code,
            peak_rss_bytes=exited.max_rss_bytes,
            limit_bytes=worker.limit_bytes,
            reason=worker.reason,
            log=tail(worker.log_path),
            out_of_memory=worker.out_of_memory or kernel_killed,
            kernel_killed=kernel_killed,
        )

    def output(self) -> list[OutputLine]:
        """Lines that workers (and the user's code in them) have printed since the last call."""
        for worker in self.workers.values():
            self._collect_output(worker, worker.counters.running)
        output, self._output = self._output, []
        return output

    def _collect_output(self, worker: WorkerProcess, running: int | None, *, last: bool = False) -> None:
        self._output += worker.log.read(last=last)
        # What has no trailer yet is the running task's, if that was the same all the while.
        if last or worker.counters.running == running:
            self._output += worker.log.take_unattributed(running)

    def seen(self, number: int, now_s: float, rss_bytes: int = 0) -> WorkerProcess | None:
        """Note a sign of life of a worker.

        Parameters
        ----------
        number : int
        now_s : float
        rss_bytes : int
            Its resident memory; 0: unknown.

        Returns
        -------
        WorkerProcess or None
            None if there is no such worker.
        """
        worker = self.workers.get(number)
        if worker is not None:
            worker.seen_s, worker.cpu_s = now_s, -1.0
            worker.rss_bytes = rss_bytes or worker.rss_bytes
        return worker

    def frozen_workers(self, now_s: float) -> list[tuple[int, str]]:
        """Workers that have been silent too long without using the processor, each with the reason.

        A worker inside a long call that holds the interpreter lock can't send a
        heartbeat, but its processor time grows. Before it is up there is no such call.
        """
        frozen: list[tuple[int, str]] = []
        for worker in self.workers.values():
            if now_s - worker.seen_s < SILENCE_S or not worker.pid or worker.kill_at_s is not None:
                continue
            used_s = worker.used_s()
            if used_s == worker.cpu_s:
                frozen.append((worker.number, "frozen: no sign of life, no processor time"))
            elif not worker.up and used_s > START_PROCESSOR_S:
                frozen.append(
                    (worker.number, f"was not up after {format_duration(used_s)} of processor time")
                )
            worker.cpu_s, worker.seen_s = used_s, now_s
        return frozen

    # -- the end --------------------------------------------------------------------

    def close(self) -> None:
        """End the nursery and every worker that still runs, and reap them."""
        self._nursery.close(GRACE_S if self._spawned else 0)
        for worker in self.workers.values():
            worker.close()
        _supervisors.discard(self)
