"""Real runs of the command, in processes of their own."""

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

import blockmill
from blockmill.shared.errors import ServiceUnreachable
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.registry import open_volume

STEPS = """
    import os, time
    from pathlib import Path

    def gated(block, context, gate, free=0):
        # Blocks from number `free` on wait until the gate opens; each says that it has begun.
        # A free one ends when two workers are up: else the first would take the gated ones for itself.
        Path(f"{gate}.begun-{'-'.join(map(str, context.roi.start))}-{os.getpid()}").touch()
        while not Path(gate).exists() and (context.roi.start[0] >= free or workers_at(gate) < 2):
            time.sleep(0.005)
        return block

    def workers_at(gate):
        return len({p.name.rpartition("-")[2] for p in Path(gate).parent.glob(f"{Path(gate).name}.begun-*")})

    def poison(block, context, at):
        if list(context.roi.start) == at:
            os.kill(os.getpid(), 9)
        return block

    def gated_each(block, context, gate):
        Path(f"{gate}.begun-{context.roi.start[0]}-{os.getpid()}").touch()
        while not Path(f"{gate}-{context.roi.start[0]}").exists() and not Path(gate).exists():
            time.sleep(0.005)
        return block

    def poison_until(block, context, at, cure):
        Path(f"{cure}.begun-{'-'.join(map(str, context.roi.start))}-{os.getpid()}-{time.time_ns()}").touch()
        if list(context.roi.start) == at and not Path(cure).exists():
            print("about to crash", flush=True)
            os.kill(os.getpid(), 9)
        return block

    def says(block, context):
        print("this is", *context.roi.start)
        os.system("echo from a child")
        return block

    def chatty(block, context, lines):
        for number in range(lines):
            print("word", number, "." * 40)
        return block

    def holds_the_lock(block, context, mark):
        # A regular expression that backtracks for hours never lets go of the interpreter lock.
        import re
        Path(f"{mark}.begun-{os.getpid()}").touch()
        re.match(r"(a+)+$", "a" * 64 + "b")
        return block

    def hungry(block, context, gate, mib):
        # The first block of each worker takes much memory, as long as the gate is closed.
        Path(f"{gate}.begun-{'-'.join(map(str, context.roi.start))}-{os.getpid()}-{time.time_ns()}").touch()
        if not Path(gate).exists():
            held = bytearray(mib << 20)
            held[:: 4096] = b"x" * len(held[:: 4096])
            while not Path(gate).exists():
                time.sleep(0.005)
        return block

    def leaky(block, context, gate, mib):
        # From the third block on each keeps some memory for good, once it is told to, and waits.
        Path(f"{gate}.begun-{context.roi.start[0]}-{os.getpid()}").touch()
        while context.roi.start[0] >= 10 and not (Path(f"{gate}.leak").exists() or Path(gate).exists()):
            time.sleep(0.005)
        if context.roi.start[0] >= 10 and not Path(gate).exists():
            kept.append(bytearray(b"x") * (mib << 20))
            while not Path(gate).exists():
                time.sleep(0.005)
        return block

    kept = []

    def greedy(block, context, at, mib, mark):
        if list(context.roi.start) == at:
            Path(f"{mark}.begun-{os.getpid()}-{time.time_ns()}").touch()
            held = bytearray(mib << 20)
            held[:: 4096] = b"x" * len(held[:: 4096])
            time.sleep(1.5)
        return block

    def tidies(block, context, gate):
        try:
            return gated(block, context, gate)
        except BaseException:
            Path(f"{gate}.tidied").touch()
            raise

    def raises_until(block, context, at, cure):
        Path(f"{cure}.begun-{context.roi.start[0]}-{os.getpid()}-{time.time_ns()}").touch()
        if list(context.roi.start) == at and not Path(cure).exists():
            raise RuntimeError("no luck today")
        return block

    def tells_what_it_has(block, context, where):
        import json, signal
        import numpy as np
        files = {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                 if os.path.exists(f"/proc/self/fd/{n}")}
        threads = len(os.listdir("/proc/self/task"))
        np.dot(np.ones((500, 500)), np.ones((500, 500)))
        Path(where).write_text(json.dumps({
            "files": files,
            "more_threads": len(os.listdir("/proc/self/task")) - threads,
            "session": os.getsid(0),
            "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        }))
        return block

    def raises(block, context, at):
        if list(context.roi.start) == at:
            raise RuntimeError("no luck today")
        return block
"""
LIMIT_S = 60
COMMAND = [sys.executable, "-m", "blockmill"]


def wait_for(true, what, state=lambda: ""):
    """Wait for something that other processes bring about; `state` says in vain how far it has come."""
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what} {state()}"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def wait_until():
    return wait_for


class Bench:
    """A folder with volumes, job files and user code, and the command run in it."""

    def __init__(self, folder: Path, commands) -> None:
        self.folder = folder
        self._commands = commands
        self.gate = str(folder / "gate")
        self.runtime = folder / "runtime"
        self.runtime.mkdir(mode=0o700)
        self.place = tempfile.TemporaryDirectory(prefix="bm-")  # a socket's path must be short
        self.socket = Path(self.place.name) / "s"
        self.processes = []
        self.command = COMMAND
        self.environ = {
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "BLOCKMILL_SOCKET": str(self.socket),
        }
        (folder / "steps.py").write_text(textwrap.dedent(STEPS))

    def volume(self, name="in.npy", shape=(40, 30, 20), dtype=np.uint8):
        voxels = np.random.default_rng(1).integers(0, 200, shape).astype(dtype)
        np.save(self.folder / name, voxels)
        return voxels

    def job(self, name="job.yaml", **fields):
        (self.folder / name).write_text(yaml.safe_dump(fields))
        return name

    def steps_job(self, function, args=None, *, output="out.npy", rows=10, **fields):
        """A job of user code; its blocks, and those of its output, are so many rows of the volume."""
        block_shape = [rows, 30, 20]
        return self.job(
            input="in.npy",
            output={"address": output, "block_shape": block_shape} if output.endswith(".json") else output,
            block_shape=block_shape,
            operation={"python": {"function": function, "args": args or {}, "halo_check": False}},
            **{"user_code": ".", **fields},
        )

    def gated_job(self, output="out.json", **args):
        """A job whose blocks wait until `open_gate`."""
        return self.steps_job("steps:gated", {"gate": self.gate, **args}, output=output, workers=2)

    def open_gate(self):
        Path(self.gate).touch()

    def begun(self):
        """Names of the blocks whose work has begun, with the pid of the worker."""
        return [path.name.removeprefix("gate.begun-") for path in self.folder.glob("gate.begun-*")]

    def finished_blocks(self, output):
        """How many blocks of an output are noted as finished."""
        if output.endswith(".json"):
            return len(list(self.folder.glob(f"{output.removesuffix('.json')}_blocks/**/STATUS.txt")))
        return (self.folder / f".{output.split('/')[0]}.blockmill" / "ledger").read_bytes()[::5].count(1)

    def times_begun(self):
        """How often each block was begun."""
        return Counter(name.rsplit("-", 1)[0] for name in self.begun())

    def start(self, *args):
        """Start a command by an interpreter of its own."""
        process = subprocess.Popen(
            [*self.command, *args],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environ},
        )
        self.processes.append(process)
        return process

    def run(self, *args, code=0, stdin=""):
        """Run a command to its end, in a forked process unless the test has a `command` of its own."""
        ended_with, out, err = self.end_of(*args, stdin=stdin)
        assert ended_with == code, f"exit code {ended_with}\n{out}\n{err}"
        return out, err

    def end_of(self, *args, stdin="", timeout_s=LIMIT_S):
        """Run a command as `run` does, whatever comes of it; exit code, stdout, stderr."""
        if self.command is COMMAND:
            environ = {**os.environ, **self.environ}
            ended = self._commands.run(
                *args, folder=self.folder, environ=environ, stdin=stdin, timeout_s=timeout_s
            )
            return ended.code, ended.out, ended.err
        process = self.start(*args)
        out, err = process.communicate(stdin, timeout=timeout_s)
        return process.returncode, out, err

    def read(self, address="out.json"):
        volume = open_volume(str(self.folder / address))
        try:
            return volume.read(Roi.from_shape(volume.shape))
        finally:
            volume.close()

    @staticmethod
    def children_of(process):
        return psutil.Process(process.pid).children(recursive=True)

    @staticmethod
    def gone(processes):
        return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)

    def leavings(self):
        """Whatever a run should have removed: partial files, locks, sockets, logs."""
        found = self.folder.rglob("*")
        left = [p for p in found if ".partial-" in p.name or p.name.endswith(".lock") or p.name == "lock"]
        return left + list(self.runtime.iterdir())

    # -- the service ----------------------------------------------------------------

    def serve(self, *args, workers=2):
        """Start the service, in a forked process as `run` does, and wait until it answers."""
        number = () if workers is None else ("--workers", str(workers))
        if self.command is COMMAND:
            environ = {**os.environ, **self.environ}
            self.service = self._commands.start("serve", *number, *args, folder=self.folder, environ=environ)
            self.processes.append(self.service)
        else:
            self.service = self.start("serve", *number, *args)
        with self.client(timeout_s=LIMIT_S) as client:
            deadline = time.monotonic() + LIMIT_S
            while True:
                try:
                    client.service()
                    return self.service
                except ServiceUnreachable:
                    assert self.service.poll() is None, self.service.communicate()
                    assert time.monotonic() < deadline
                    time.sleep(0.01)

    def client(self, **options):
        return blockmill.Client(self.socket, **options)

    def submit(self, job, **options):
        with self.client() as client:
            return client.submit(self.folder / job, **options).id

    def submit_half_done(self, output="out.json"):
        """Submit a gated job; its number, when two of its blocks are done and two at work."""
        number = self.submit(self.gated_job(output, free=20))
        with self.client() as client:
            wait_for(
                lambda: len(self.times_begun()) == 4 and client.job(number).done == 2,
                "half of the job",
                lambda: (self.begun(), client.job(number), client.service()),
            )
        return number

    def kill_service(self):
        """Kill the service, and wait for the end of all its processes."""
        children = self.children_of(self.service)
        self.service.kill()
        self.service.wait()
        wait_for(lambda: self.gone(children), "the end of the workers")

    def end_service(self, code=0):
        """Drain the service by a signal; what it said."""
        self.service.terminate()
        _, err = self.service.communicate(timeout=LIMIT_S)
        assert self.service.returncode == code, err
        return err


@pytest.fixture(scope="session")
def commands(new_commands):
    """Runs commands of blockmill to their ends; see forked_commands.py."""
    return new_commands({**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


@pytest.fixture
def bench(tmp_path, commands):
    made = Bench(tmp_path, commands)
    yield made
    for process in made.processes:
        process.kill()  # where the test failed before its end
        process.communicate()
    made.place.cleanup()

    def strays():
        return [p.pid for p in psutil.process_iter(["cmdline", "cwd"]) if str(tmp_path) in str(p.info)]

    # The nursery of a service that was killed ends by itself, a moment later.
    wait_for(lambda: not strays(), "the end of all processes", strays)
