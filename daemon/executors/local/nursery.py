"""Handle of the fork server: process, control socket, lifeline pipe (closing it kills all workers)."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from ....shared.system.compute_threads import with_one_compute_thread
from ....shared.system.descriptors import send_file
from .process_stat import processor_time_s
from .worker_log import tail

_MODULE = "blockmill.workers.nursery"
_POLL_S = 0.001


class _Process(Protocol):
    """The methods of `subprocess.Popen` that are needed here."""

    pid: int
    returncode: int | None

    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


class NurseryProcess:
    """A nursery that is started; see `workers/nursery.py`.

    Parameters
    ----------
    preload : iterable of str
        Modules that it imports once for all workers.
    fork : bool
        Fork it from this process instead of starting an interpreter: modules that are imported here are
        shared with it. Only for a program of ours, whose main module is known, while it has a single
        thread, and if it called `have_one_compute_thread` before numpy was imported.

    Attributes
    ----------
    control : socket
        Carries the nursery's reports; orders go out with `send`.
    """

    def __init__(self, preload: Iterable[str] = (), *, fork: bool = False) -> None:
        self._orders: deque[tuple[bytes, socket.socket | None]] = deque()  # that did not fit into the socket
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.control, child_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lifeline_read, self._lifeline = os.pipe2(os.O_CLOEXEC)
        start = _fork if fork else _exec
        try:
            with child_control:
                self._process = start(child_control, lifeline_read, self._log, preload)
        except BaseException:
            self.forget_in_child()
            self._log.close()
            raise
        finally:
            os.close(lifeline_read)

    def send(self, *orders: bytes, file: socket.socket | None = None) -> None:
        """Send orders behind those that wait; what does not fit into the socket waits for the next call.

        It never blocks: the nursery may do so itself, until its reports are read.

        Parameters
        ----------
        *orders : bytes
        file : socket.socket, optional
            Goes with each of them, and is closed when it has gone.

        Raises
        ------
        OSError
            If the nursery is gone.
        """
        self._orders.extend((order, file) for order in orders)
        with contextlib.suppress(BlockingIOError):
            while self._orders:
                order, with_file = self._orders[0]
                if with_file is None:
                    self.control.send(order, socket.MSG_DONTWAIT)
                else:
                    send_file(self.control, order, with_file.fileno())
                    with_file.close()
                self._orders.popleft()

    def forget_in_child(self) -> None:
        """In a forked child: close everything that ties the workers to this process."""
        self.control.close()
        self._close_lifeline()

    def _close_lifeline(self) -> None:
        # Its number is forgotten first: a child that is forked meanwhile must not close what has it next.
        lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)

    def close(self, grace_s: float) -> None:
        """Have it end all workers and itself; kill it if that takes longer than `grace_s` seconds.

        A second time does nothing.
        """
        self.control.close()
        for _, file in self._orders:
            if file is not None:
                file.close()
        self._orders.clear()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:  # it still imports, or is stuck
            self._process.kill()
            self._process.wait()
        self._close_lifeline()  # the kernel ends whoever is left of the group
        self._log.close()

    def last_words(self, grace_s: float) -> str:
        """The last lines that it printed, or its exit code: the reason why it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)  # its end is seen a moment before its exit code
        return self.printed() or f"exit code {self._process.returncode}"

    def printed(self) -> str:
        """The last lines that it printed so far."""
        return tail(Path(f"/proc/self/fd/{self._log.fileno()}"))

    def used_s(self) -> float:
        """Processor time that it has used so far, in seconds."""
        return processor_time_s(self._process.pid)


def _exec(control: socket.socket, lifeline_fd: int, log: BinaryIO, preload: Iterable[str]) -> _Process:
    search_path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(control.fileno()), str(lifeline_fd), search_path, *preload],
        pass_fds=(control.fileno(), lifeline_fd),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=with_one_compute_thread(os.environ),
        start_new_session=True,
    )


def _fork(control: socket.socket, lifeline_fd: int, log: BinaryIO, preload: Iterable[str]) -> _Process:
    gc.freeze()  # a collection would write to all objects, on pages that both sides share until then
    if pid := os.fork():
        return _Child(pid)
    try:
        control_fd, lifeline_fd = _become_a_daemon(log.fileno(), control.fileno(), lifeline_fd)
        serve = importlib.import_module(_MODULE).serve
        serve(socket.socket(fileno=control_fd), lifeline_fd, preload)
    except BaseException:  # noqa: BLE001 - the process ends here; its log tells why
        traceback.print_exc()
    finally:
        os._exit(1)


def _become_a_daemon(log_fd: int, *keep: int) -> list[int]:
    """Leave the parent's session, signals and open files. Returns the new numbers of the files to keep."""
    os.setsid()
    for signum in signal.valid_signals():
        if callable(signal.getsignal(signum)):
            signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    files = (os.open(os.devnull, os.O_RDONLY), log_fd, *keep)
    # Where the parent has no stdin, stdout or stderr, one of them may have its number.
    null, log, *kept_fds = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in files)
    for source_fd, target_fd in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source_fd, target_fd)
    # Close the open ones alone: the limit may be a thousand million, and some may lie beyond it.
    for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if fd > 2 and fd not in kept_fds:
            with contextlib.suppress(OSError):  # what listed them is closed
                os.close(fd)
    return kept_fds


class _Child:
    """A forked child with the needed methods of `subprocess.Popen`; not all systems have pidfds."""

    def __init__(self, pid: int) -> None:
        self.returncode: int | None = None
        self.pid = pid

    def wait(self, timeout: float | None = None) -> int:
        """As `Popen.wait`."""
        start_s = time.monotonic()
        while (code := self._poll()) is None:
            if timeout is not None and time.monotonic() - start_s >= timeout:
                raise subprocess.TimeoutExpired("nursery", timeout)
            time.sleep(_POLL_S)
        return code

    def _poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # if SIGCHLD is ignored, a child's exit status is lost
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def kill(self) -> None:
        """As `Popen.kill`."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
