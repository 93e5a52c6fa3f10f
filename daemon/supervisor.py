"""Keeps worker processes alive: starts them, watches them, replaces the dead.

It owns the nursery (the process that forks workers, see `workers/nursery.py`, started by
command line) and the lifeline pipe whose end kills the whole tree. It decides nothing
about blocks: `deaths` says who died and why, the engine tells the coordinator.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..shared import wire
from ..shared.errors import EngineError
from ..shared.marks import Marks

GRACE_S = 0.7
"""What a worker gets to unwind after SIGTERM before SIGKILL follows."""
SILENCE_S = 10.0
"""A worker that neither speaks nor uses the processor for so long is taken for frozen."""
_START_FAILURES_ALLOWED = 5
_LONGEST_BACK_OFF_S = 5.0
_LOG_TAIL_LINES = 8
_MOST_PRINTED_BYTES = 1 << 16


# A child that the user's program forks inherits the lifeline, and workers would outlive their
# coordinator for as long as that child lives.
_supervisors: weakref.WeakSet[Supervisor] = weakref.WeakSet()
os.register_at_fork(after_in_child=lambda: [s.forget_in_child() for s in list(_supervisors)])


@dataclass(slots=True)
class WorkerProcess:
    """What the supervisor knows of one worker."""

    number: int
    log_path: Path
    mark: int
    pid: int = 0
    up: bool = False
    log_read_bytes: int = 0
    heard_s: float = 0.0
    cpu_s: float = -1.0
    rss_bytes: int = 0
    kill_at_s: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker, told in full."""

    worker: int
    reason: str
    was_up: bool
    running: int | None = None  # which of the tasks sent to it, counted from 1; None: it was in none


@dataclass(slots=True)
class _Pace:
    """How fast replacements may follow each other."""

    failed_starts: int = 0
    not_before_s: float = 0.0
    last_log: str = field(default="")

    def note(self, death: Death, now_s: float, log: str) -> None:
        self.failed_starts = 0 if death.was_up else self.failed_starts + 1
        self.last_log = log
        if self.failed_starts:
            self.not_before_s = now_s + min(0.1 * 2**self.failed_starts, _LONGEST_BACK_OFF_S)


class Supervisor:
    """Keeps `count` workers running.

    Parameters
    ----------
    count : int
        Number of workers.
    endpoint : str
        Where workers connect to.
    run_dir : Path
        Private folder for the logs of workers.
    preload : iterable of str
        Modules that the nursery imports once for all workers.
    """

    def __init__(self, count: int, endpoint: str, run_dir: Path, preload: Iterable[str] = ()) -> None:
        self.count = count
        self._run_dir = run_dir
        self._next = 0
        self._spawned = False
        self._pace = _Pace()
        self.workers: dict[int, WorkerProcess] = {}
        self._said: list[str] = []
        self._marks = Marks(count)
        self._free_marks = list(range(count))
        _supervisors.add(self)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lifeline_read, self._lifeline = os.pipe2(os.O_CLOEXEC)
        # One compute thread per worker: the workers themselves fill the machine.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        command = [
            *(sys.executable, "-P", "-m", "blockmill.workers.nursery"),
            *(
                str(theirs.fileno()),
                str(lifeline_read),
                endpoint,
                os.pathsep.join(p or str(Path.cwd()) for p in sys.path),
                *preload,
            ),
        ]
        with theirs, (run_dir / "nursery.log").open("wb") as log:
            self._nursery = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(), lifeline_read),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=threads | os.environ,
                start_new_session=True,
            )
        os.close(lifeline_read)

    @property
    def alive(self) -> bool:
        """Whether some worker process is known to run."""
        return any(worker.pid for worker in self.workers.values())

    def forget_in_child(self) -> None:
        """In a forked child: let go of what ties the workers to this process."""
        self._control.close()
        with contextlib.suppress(OSError):  # closed already
            os.close(self._lifeline)

    def fileno(self) -> int:
        """The descriptor to poll for news."""
        return self._control.fileno()

    # -- orders ---------------------------------------------------------------------

    def fill(self, now_s: float) -> None:
        """Start workers until `count` are there, at the pace that failures allow."""
        if self._pace.failed_starts >= _START_FAILURES_ALLOWED:
            raise EngineError(
                f"{self._pace.failed_starts} workers in a row ended before they were up; "
                f"the last one said:\n{self._pace.last_log or '(nothing)'}"
            )
        while len(self.workers) < self.count and now_s >= self._pace.not_before_s:
            log_path, mark = self._run_dir / f"worker-{self._next}.log", self._free_marks.pop()
            worker = WorkerProcess(self._next, log_path, mark, heard_s=now_s)
            self._next += 1
            self.workers[worker.number] = worker
            self._marks.clear(mark)
            self._order(wire.Spawn(worker.number, str(log_path), self._marks.path, mark))

    def kill(self, number: int, why: str, now_s: float, grace_s: float = GRACE_S) -> None:
        """End a worker: SIGTERM now, SIGKILL after `grace_s` seconds; 0 kills at once."""
        worker = self.workers.get(number)
        if worker is None or worker.kill_at_s is not None:
            return
        worker.why, worker.kill_at_s = why, now_s + grace_s
        if grace_s > 0:
            self._order(wire.Signal(number, signal.SIGTERM))
        self.enforce(now_s)

    def enforce(self, now_s: float) -> None:
        """Send SIGKILL to the workers whose grace is over."""
        for worker in self.workers.values():
            if worker.kill_at_s is not None and now_s >= worker.kill_at_s:
                self._order(wire.Signal(worker.number, signal.SIGKILL))
                worker.kill_at_s = now_s + GRACE_S

    def _order(self, message: wire.ToNursery) -> None:
        try:
            self._control.send(wire.encode(message))
        except OSError as error:
            raise EngineError(f"the nursery of the workers is gone: {self._nursery_log()}") from error

    # -- news -----------------------------------------------------------------------

    def news(self, now_s: float) -> Iterator[Death]:
        """The deaths that the nursery has reported since the last call.

        Raises
        ------
        EngineError
            If the nursery itself ended; no worker can be started or reaped then.
        """
        while (packet := self._packet()) is not None:
            if not packet:
                raise EngineError(f"the nursery of the workers ended ({self._nursery_log()}); run it again")
            match wire.decode_from_nursery(packet):
                case wire.Spawned(worker=number, pid=pid):
                    self.workers[number].pid = pid
                    self._spawned = True
                case wire.Exited() as exited:
                    yield self._bury(exited, now_s)

    def _packet(self) -> bytes | None:
        try:
            return self._control.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    def _bury(self, exited: wire.Exited, now_s: float) -> Death:
        worker = self.workers.pop(exited.worker)
        self._listen(worker)
        log = _tail(worker.log_path)
        worker.log_path.unlink(missing_ok=True)
        death = Death(
            worker.number, _obituary(worker, exited, log), worker.up, self._marks.running(worker.mark)
        )
        self._free_marks.append(worker.mark)
        if worker.kill_at_s is None or not worker.up:
            self._pace.note(death, now_s, worker.why or log)
        return death

    def said(self) -> list[str]:
        """What workers (and the user's code in them) have printed since the last call, by lines."""
        for worker in self.workers.values():
            self._listen(worker)
        said, self._said = self._said, []
        return said

    def _listen(self, worker: WorkerProcess) -> None:
        try:
            with worker.log_path.open("rb") as log:
                log.seek(worker.log_read_bytes)
                text = log.read(_MOST_PRINTED_BYTES)
        except FileNotFoundError:
            return
        worker.log_read_bytes += len(text)
        self._said += [
            f"worker {worker.number}: {line}" for line in text.decode(errors="replace").splitlines()
        ]

    def heard(self, number: int, now_s: float, rss_bytes: int = 0) -> WorkerProcess | None:
        """Note a sign of life; None if no such worker is known."""
        worker = self.workers.get(number)
        if worker is not None:
            worker.heard_s, worker.cpu_s = now_s, -1.0
            worker.rss_bytes = rss_bytes or worker.rss_bytes
        return worker

    def frozen(self, now_s: float) -> list[int]:
        """Workers that have been silent too long without using the processor.

        A worker inside a long call that holds the interpreter lock can't send a
        heartbeat, but its processor time grows.
        """
        found: list[int] = []
        for worker in self.workers.values():
            if now_s - worker.heard_s < SILENCE_S or not worker.pid or worker.kill_at_s is not None:
                continue
            used_s = _cpu_s(worker.pid)
            if used_s == worker.cpu_s:
                found.append(worker.number)
            worker.cpu_s, worker.heard_s = used_s, now_s
        return found

    # -- the end --------------------------------------------------------------------

    def close(self) -> None:
        """End the nursery and every worker that is left, and reap them."""
        self._control.close()  # the nursery ends its workers, whatever they have started, and itself
        try:
            self._nursery.wait(timeout=GRACE_S if self._spawned else 0)
        except subprocess.TimeoutExpired:  # it still imports, or is stuck
            self._nursery.kill()
            self._nursery.wait()
        self._marks.close()
        _supervisors.discard(self)
        os.close(self._lifeline)  # the kernel ends whoever is left of the group

    def _nursery_log(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._nursery.wait(timeout=GRACE_S)  # its end is seen a moment before its exit code
        return _tail(self._run_dir / "nursery.log") or f"exit code {self._nursery.returncode}"


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:  # it ended meanwhile; the nursery will tell
        return -2.0
    return times.user + times.system


def _tail(path: Path) -> str:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])


def _obituary(worker: WorkerProcess, exited: wire.Exited, log: str) -> str:
    """Why a worker died: our own reason, or signal or exit code, peak memory, last words."""
    if exited.exit_code < 0:
        how = f"was killed by {_signal_name(-exited.exit_code)}"
        if exited.exit_code == -signal.SIGKILL and not worker.why:
            how += " (out of memory, or by hand)"
    else:
        how = f"ended with exit code {exited.exit_code}"
    if worker.why:
        how = f"{worker.why}: {how}"
    text = f"worker {worker.number} (pid {exited.pid}) {how}; peak memory {exited.max_rss_bytes >> 20} MiB"
    return f"{text}; its last lines:\n{log}" if log and not worker.why else text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
