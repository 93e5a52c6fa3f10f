"""Commands of blockmill for tests, each in a process of its own.

`ForkedCommands` forks it from a program that has imported everything already, see forking_program.py: so it
costs some ten milliseconds. `FreshCommands` starts an interpreter, which costs half a second.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(__file__).with_name("forking_program.py")
COMPUTE_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
    """Starts and runs commands, each in an interpreter of its own."""

    def __init__(self, environ):
        pass

    def start(self, *args, folder, environ):
        """Start one in `folder`, with exactly this environment and nothing on its standard input."""
        return subprocess.Popen(
            [sys.executable, "-m", "blockmill", *args],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def run(self, *args, folder, environ, stdin="", timeout_s=60):
        """Run one to its end."""
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
    """Starts and runs commands, each in a child of a program that has imported blockmill.

    Parameters
    ----------
    environ : mapping
        Environment of the program, for what Python reads when it starts, such as LC_ALL.
    """

    def __init__(self, environ):
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._program = subprocess.Popen(
                [sys.executable, PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                # Only a process with a single thread may be forked; compute threads begin at an import.
                env={**environ, **dict.fromkeys(COMPUTE_THREADS, "1")},
            )

    def start(self, *args, folder, environ):
        """Start one in `folder`, with exactly this environment and nothing on its standard input."""
        return self._start(args, folder, environ, "")

    def run(self, *args, folder, environ, stdin="", timeout_s=60):
        """Run one to its end."""
        command = self._start(args, folder, environ, stdin)
        try:
            out, err = command.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            command.kill()
            command.communicate()
            raise
        return Ended(command.returncode, out, err)

    def _start(self, args, folder, environ, stdin):
        request = {"args": args, "folder": str(folder), "environ": dict(environ)}
        in_, out, err = files = [tempfile.TemporaryFile("w+") for _ in range(3)]  # noqa: SIM115 - closed below
        in_.write(stdin)
        in_.seek(0)
        told, tell = os.pipe()
        fds = [*(file.fileno() for file in files), tell]
        socket.send_fds(self._requests, [json.dumps(request).encode()], fds)
        in_.close()
        os.close(tell)
        return ForkedCommand(args, open(told), out, err)

    def close(self):
        self._requests.close()
        self._program.wait(60)


class ForkedCommand:
    """A command that was started; methods and attributes are those of `subprocess.Popen`."""

    def __init__(self, args, status, *streams):
        self.args = args
        self.returncode = None
        self._status = status  # first its pid, later its exit code
        self._streams = streams
        self._said = None
        self.pid = self._next_number()

    def _next_number(self):
        line = self._status.readline()
        assert line, f"{PROGRAM} has ended"
        return int(line)

    def poll(self):
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._note_end()
        return self.returncode

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self._note_end()
        return self.returncode

    def _note_end(self):
        self.returncode = self._next_number()
        self._status.close()

    def communicate(self, *, timeout=None):
        self.wait(timeout)
        if self._said is None:
            self._said = tuple(map(self._read, self._streams))
        return self._said

    @staticmethod
    def _read(stream):
        with stream:
            stream.seek(0)
            return stream.read()

    def send_signal(self, signum):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended a moment ago
                os.kill(self.pid, signum)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)
