"""The nursery as its supervisor holds it: a process, a socket to it, and a pipe whose end is its end."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from ..shared.computethreads import with_one_compute_thread
from .printed import tail

_MODULE = "blockmill.workers.nursery"


class _Process(Protocol):
    """What is needed of `subprocess.Popen`."""

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
        Fork it from this process instead of starting an interpreter: what is imported here is shared
        with it, and not imported again. Only for a program of ours, whose main module is known, while it
        has a single thread, and if it called `have_one_compute_thread` before numpy was imported.

    Attributes
    ----------
    control : socket
        Orders go there, and news come from there.
    """

    def __init__(self, preload: Iterable[str] = (), *, fork: bool = False) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lifeline_read, self._lifeline = os.pipe2(os.O_CLOEXEC)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        start = _forked if fork else _executed
        with theirs:
            self._process = start(theirs, lifeline_read, self._log, preload)
        os.close(lifeline_read)

    def forget_in_child(self) -> None:
        """In a forked child: let go of what ties the workers to this process."""
        self.control.close()
        with contextlib.suppress(OSError):  # closed already
            os.close(self._lifeline)

    def close(self, grace_s: float) -> None:
        """Have it end all workers and itself; kill it if that takes longer than `grace_s` seconds."""
        self.control.close()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:  # it still imports, or is stuck
            self._process.kill()
            self._process.wait()
        os.close(self._lifeline)  # the kernel ends whoever is left of the group
        self._log.close()

    def last_words(self, grace_s: float) -> str:
        """Why it ended, as far as that can be told."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)  # its end is seen a moment before its exit code
        return tail(Path(f"/proc/self/fd/{self._log.fileno()}")) or f"exit code {self._process.returncode}"


def _executed(control: socket.socket, lifeline_fd: int, log: BinaryIO, preload: Iterable[str]) -> _Process:
    places = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(control.fileno()), str(lifeline_fd), places, *preload],
        pass_fds=(control.fileno(), lifeline_fd),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=with_one_compute_thread(os.environ),
        start_new_session=True,
    )


def _forked(control: socket.socket, lifeline_fd: int, log: BinaryIO, preload: Iterable[str]) -> _Process:
    gc.freeze()  # a collection would write to all objects, on pages that both sides share until then
    if pid := os.fork():
        return _Child(pid)
    try:
        _become_a_daemon(log, keep=(control.fileno(), lifeline_fd))
        importlib.import_module(_MODULE).serve(control, lifeline_fd, preload)
    except BaseException:  # noqa: BLE001 - the process ends here; its log tells why
        traceback.print_exc()
    finally:
        os._exit(1)


def _become_a_daemon(log: BinaryIO, keep: tuple[int, int]) -> None:
    """Let go of what belongs to the parent: its session, signals, open files."""
    os.setsid()
    for signum in signal.valid_signals():
        if callable(signal.getsignal(signum)):
            signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((null, 0), (log.fileno(), 1), (log.fileno(), 2)):
        os.dup2(ours, theirs)
    first, second = sorted(keep)
    os.closerange(3, first)
    os.closerange(first + 1, second)
    os.closerange(second + 1, os.sysconf("SC_OPEN_MAX"))


class _Child:
    """A forked child, with what is needed of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.returncode: int | None = None
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)

    def wait(self, timeout: float | None = None) -> int:
        """As `Popen.wait`."""
        if self.returncode is None:
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            if not poller.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired("nursery", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            os.close(self._pidfd)
        return self.returncode

    def kill(self) -> None:
        """As `Popen.kill`."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
