"""Commands of blockmill, each in a process forked from one that has imported everything already.

A child is what ``python -m blockmill`` is, with its own streams, folder and environment; only the imports
have been done before, and of the end of the interpreter only what can be seen is done. So a command costs
some ten milliseconds instead of half a second.

`ForkedCommands` is for tests; it starts this file as the program that forks. Each request is a packet of JSON
with the four files of the command: its standard streams, and a pipe on which its pid and its exit code are told.
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
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass

COMPUTE_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LARGEST_REQUEST_BYTES = 1 << 20
LARGE_MODULES = ("rich.progress", "scipy.ndimage")
"""What commands import beside the modules of blockmill when they need it."""


# ----------------------------------------------------------------------------- for tests


@dataclass
class Ended:
    """A command that has ended; its exit code is -N if signal N has ended it."""

    code: int
    out: str
    err: str

    @property
    def documents(self):
        return [json.loads(line) for line in self.out.splitlines()]


class FreshCommands:
    """The same by an interpreter for each command, to compare with."""

    def __init__(self, environ):
        pass

    def run(self, *args, folder, environ, stdin="", timeout_s=60):
        done = subprocess.run(
            [sys.executable, "-m", "blockmill", *args],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=folder,
            env=environ,
            timeout=timeout_s,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def close(self):
        pass


class ForkedCommands:
    """Runs commands, each in a child of a program that has imported blockmill.

    Parameters
    ----------
    environ : mapping
        Environment of the program, for what Python reads when it starts, such as LC_ALL.
    """

    def __init__(self, environ):
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._program = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                # Only a process that has a single thread may be forked, and compute threads begin at an import.
                env={**environ, **dict.fromkeys(COMPUTE_THREADS, "1")},
            )

    def run(self, *args, folder, environ, stdin="", timeout_s=60):
        """Run one to its end in `folder`, with exactly this environment."""
        with contextlib.ExitStack() as stack:
            in_, out, err = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
            in_.write(stdin)
            in_.seek(0)
            code = self._run([in_, out, err], timeout_s, args=args, folder=str(folder), environ=dict(environ))
            out.seek(0)
            err.seek(0)
            return Ended(code, out.read(), err.read())

    def _run(self, streams, timeout_s, **request):
        told, tell = os.pipe()
        try:
            fds = [*(stream.fileno() for stream in streams), tell]
            socket.send_fds(self._requests, [json.dumps(request).encode()], fds)
        finally:
            os.close(tell)
        with open(told) as status:
            pid = int(status.readline() or self._fail("could not start a command"))
            if not select.select([status], [], [], timeout_s)[0]:
                os.kill(pid, signal.SIGKILL)
                status.readline()
                raise subprocess.TimeoutExpired(request["args"], timeout_s)
            return int(status.readline() or self._fail("has lost a command"))

    def _fail(self, what):
        raise RuntimeError(f"{__file__} {what}; its exit code is {self._program.poll()}")

    def close(self):
        self._requests.close()
        self._program.wait(60)


# -------------------------------------------------------------------------- the program


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
