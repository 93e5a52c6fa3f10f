"""The nursery: a fork server, a small process that imports what workers need once and forks them.

It exists instead of ``multiprocessing``'s fork server for three reasons: it never imports
the caller's main module (scripts need no ``__main__`` guard), it reaps each worker with
its peak memory, and all its children die with the coordinator, even while they hold the
interpreter lock: the read end of the coordinator's lifeline pipe is set to send SIGKILL to
the whole process group as soon as its write end closes, however that comes about.

Started as ``python -P -m blockmill.workers.nursery CONTROL_FD LIFELINE_FD PATHS MODULE ...``, or
forked by a program of ours that has imported most of it already; see `daemon/executors/local/nursery.py`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from ..shared.messages import engine as wire
from ..shared.operations.registry import build_own
from ..shared.system.descriptors import receive_file
from ..shared.volumes.registry import load_own
from .lifeline import tie_to

_LARGEST_PACKET_BYTES = 1 << 16


class Nursery:
    """Forks, signals and reaps workers, as messages on the control socket ask it to."""

    def __init__(self, control: socket.socket, lifeline_fd: int) -> None:
        self._control = control
        self._lifeline_fd = lifeline_fd
        self._pids: dict[int, int] = {}  # worker -> pid
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Serve until the control socket closes; then end all workers and all processes that they started."""
        poller = select.poll()  # select would fail where the caller has many open files
        poller.register(self._control, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                self._reap()
            if self._control.fileno() in ready:
                packet, fd = receive_file(self._control, _LARGEST_PACKET_BYTES)
                if not packet:
                    os.killpg(0, signal.SIGKILL)
                self._handle(wire.decode_to_nursery(packet), fd)

    def _handle(self, message: wire.ToNursery, fd: int | None) -> None:
        match message:
            case wire.Spawn():
                with socket.socket(fileno=fd) if fd is not None else contextlib.nullcontext() as channel:
                    self._spawn(message, channel)
            case wire.SendSignal():
                # A pid is not reused until we reap it, so this can't hit another process.
                if (pid := self._pids.get(message.worker)) is not None:
                    _send_signal(pid, message.signum, message.uid)

    def _spawn(self, spawn: wire.Spawn, channel: socket.socket | None) -> None:
        # The nursery ignores SIGTERM, a new worker doesn't: a signal in between is delivered afterwards.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        pid = os.fork()
        if pid == 0:
            self._become_worker(spawn, channel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        self._pids[spawn.worker] = pid
        self._report(wire.Spawned(spawn.worker, pid))

    def _become_worker(self, spawn: wire.Spawn, channel: socket.socket | None) -> None:
        exit_code = 1
        try:
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(signum, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            log = os.open(spawn.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            # Each line is sent at once, and a file name that is no UTF-8 can be printed.
            sys.stdout = os.fdopen(1, "w", buffering=1, errors="backslashreplace", closefd=False)
            sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
            from .loop import run_worker

            exit_code = run_worker(spawn, channel, self._lifeline_fd)
        except BaseException:  # noqa: BLE001 - the process ends here; its log tells why
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(exit_code)

    def _reap(self) -> None:
        for worker, pid in list(self._pids.items()):
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                del self._pids[worker]
                code = os.waitstatus_to_exitcode(status)
                self._report(wire.Exited(worker, pid, code, usage.ru_maxrss * 1024))

    def _report(self, message: wire.FromNursery) -> None:
        # The coordinator may be gone; the end of the control socket shows that next.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(wire.encode(message))


def _send_signal(pid: int, signum: int, uid: int | None) -> None:
    """Send a signal to a worker, which may have become another user.

    Parameters
    ----------
    pid, signum : int
    uid : int or None
        That user; None: it has not.
    """
    try:
        os.kill(pid, signum)
        return
    except PermissionError:  # only root may signal the processes of others
        if uid is None:
            raise
    # A child can become that user, too. It is done in an instant, with no thread and no file touched.
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(pid, signum)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def serve(control: socket.socket, lifeline_fd: int, preload: Iterable[str]) -> None:
    """Bind the process group to the lifeline, import what workers need, serve until the end.

    Parameters
    ----------
    control : socket
        To the coordinator; messages of `shared/messages/engine.py` in both directions.
    lifeline_fd : int
        Read end of the coordinator's lifeline pipe; its closing kills the whole process group.
    preload : iterable of str
        Names of modules to import before any worker is forked.
    """
    control.set_inheritable(False)
    os.set_inheritable(lifeline_fd, False)
    tie_to(lifeline_fd)
    # A terminal, `killall` or a batch system may signal the whole group. The coordinator handles that
    # and ends the workers in order.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    for module in preload:
        importlib.import_module(module)
    from . import loop  # noqa: F401 - so that the forked workers have it

    load_own()

    # Without this, a garbage collection in a worker would write to the shared pages, and so copy them.
    gc.freeze()
    with control:
        Nursery(control, lifeline_fd).serve()


def main() -> None:
    """Serve as a program of its own."""
    control_fd, lifeline_fd, paths, *preload = sys.argv[1:]
    present = {str(Path(entry).resolve()) for entry in sys.path}
    sys.path += [p for p in paths.split(os.pathsep) if p and str(Path(p).resolve()) not in present]
    build_own()  # for all workers; a program that forks its nursery has built what its job needs
    serve(socket.socket(fileno=int(control_fd)), int(lifeline_fd), preload)


if __name__ == "__main__":
    main()
