"""Carries out commands of blockmill, each in a process forked from this one; see forked_commands.py.

A child is what ``python -m blockmill`` is, with its own streams, folder and environment; only the imports
have been done before, and of the end of the interpreter only what can be seen is done.

It is started with the number of a socket. Each request there is a packet of JSON with four files: standard
streams of the command, and a pipe on which its pid and then its exit code are told, -N if signal N ended it.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import traceback

LARGEST_REQUEST_BYTES = 1 << 20
LARGE_MODULES = ("rich.progress", "scipy.ndimage")
"""What commands import beside the modules of blockmill when they need it."""


def import_all():
    """Import blockmill and what its commands need, and let them make what they make once."""
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of this file
    import blockmill

    for folder in ("shared", "daemon", "workers", "client"):
        for module in pkgutil.walk_packages([f"{blockmill.__path__[0]}/{folder}"], f"blockmill.{folder}."):
            importlib.import_module(module.name)
    for name in LARGE_MODULES:
        importlib.import_module(name)
    kept = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        sys.argv = ["blockmill", "config", "schema", "--job"]
        assert run_command() == 0
        sys.stdout.flush()
    os.dup2(kept, 1)
    os.close(kept)
    assert threading.active_count() == len(os.listdir("/proc/self/task")) == 1
    gc.collect()
    gc.freeze()


def run_command():
    """Run the command of `sys.argv`; its exit code."""
    try:
        runpy.run_module("blockmill", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return -signal.SIGINT
    except BaseException:  # noqa: BLE001 - as the interpreter does, which ends then
        traceback.print_exc()
        return 1
    return 0


def end(code):
    """End as the interpreter does, but for taking all modules apart, which touches every page."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        traceback.print_exc()
        code = 120
    sys.stderr.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def become(request, streams):
    """Make this process the one of the command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - until the end
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["folder"])
    if not sys.flags.safe_path:
        sys.path.insert(0, request["folder"])
    sys.argv = ["blockmill", *request["args"]]


class Program:
    """Forks commands and tells their ends, until the test process closes its side."""

    def __init__(self, requests):
        self._requests = requests
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._running = {}  # pid: where its exit code is told
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self):
        poller = select.poll()
        poller.register(self._requests, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                self._reap()
            if self._requests.fileno() in ready:
                flags = socket.MSG_CMSG_CLOEXEC
                data, fds, *_ = socket.recv_fds(self._requests, LARGEST_REQUEST_BYTES, 4, flags)
                if not data:
                    return
                self._start(json.loads(data), fds)

    def _start(self, request, fds):
        *streams, tell = fds
        if (pid := os.fork()) == 0:
            try:
                self._forget()
                os.close(tell)
                become(request, streams)
                end(run_command())
            except BaseException:  # noqa: BLE001 - the process ends here
                traceback.print_exc()
            finally:
                os._exit(1)
        for stream in streams:
            os.close(stream)
        os.write(tell, f"{pid}\n".encode())
        self._running[pid] = tell

    def _forget(self):
        """In a child: let go of what is the program's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._requests.close()
        for fd in (self._wake_read, self._wake_write, *self._running.values()):
            os.close(fd)

    def _reap(self):
        for pid, tell in list(self._running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._running[pid]
                with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
                    os.write(tell, f"{os.waitstatus_to_exitcode(status)}\n".encode())
                os.close(tell)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as opened:
        opened.set_inheritable(False)
        import_all()
        Program(opened).serve()
