"""The product as it is seen from outside, compared with the files in `expected`."""

import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from forked_commands import FreshCommands

import blockmill

HERE = Path(__file__).parent
EXPECTED = HERE / "expected"
LIMIT_S = 60
UPDATE = "--update-golden"
STEPS = """
import os, time
from pathlib import Path

def gated(block, context, gate, free=0):
    # Blocks from row `free` on say that they have begun, and wait until the gate opens. Those before
    # end when two workers are up: else the first would take the others for itself.
    gated, name = context.roi.start[0] >= free, Path(gate).name
    Path(f"{gate}.worker-{os.getpid()}").touch()
    if gated:
        Path(f"{gate}.begun-{context.roi.start[0]}").touch()
    while not Path(gate).exists() and (gated or len(list(Path(gate).parent.glob(f"{name}.worker-*"))) < 2):
        time.sleep(0.005)
    return block

def prints(block):
    print("a line", flush=True)
    return block

def raises(block, context, at):
    if context.roi.start[0] == at:
        raise RuntimeError("no luck today")
    return block

def flat(block):
    return block[0]
"""


def pytest_addoption(parser):
    parser.addoption(
        UPDATE, action="store_true", help="write tests/golden/expected instead of comparing with it"
    )


@pytest.fixture(scope="session")
def golden(pytestconfig):
    """Compares a text with the file of that name: `golden("verbs.txt", text)`."""
    update = pytestconfig.getoption(UPDATE, default=False)

    def compare(name, text):
        path = EXPECTED / name
        if update:
            path.write_text(text, encoding="utf-8")
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = difflib.unified_diff(
            there.splitlines(), text.splitlines(), f"expected/{name}", "what is seen now", lineterm="", n=2
        )
        if there != text:
            diff = "\n".join(lines) or "(only the end of the last line)"
            pytest.fail(
                f"what is seen outside has changed; if that is wanted, see {HERE / 'README.md'}\n{diff}",
                pytrace=False,
            )

    return compare


def wait_for(true, what):
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def wait_until():
    return wait_for


class Commands:
    """Runs commands of blockmill in an environment that is always the same."""

    def __init__(self, base, new_commands):
        self.base = base
        self.home = base / "home"
        self.runtime = base / "runtime"
        self.home.mkdir()
        self.runtime.mkdir(mode=0o700)
        kept = {key: os.environ[key] for key in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if key in os.environ}
        self.environ = {
            **kept,
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",  # the nursery is forked from a process with one thread
            "XDG_CONFIG_HOME": str(base / "config"),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(base / "state"),
        }
        self._commands = new_commands(self.environ)

    def run(self, *args, folder, stdin="", environ=None):
        """Run one to its end."""
        environ = self.environ | (environ or {})
        return self._commands.run(*args, folder=folder, environ=environ, stdin=stdin, timeout_s=LIMIT_S)

    def start(self, *args, folder):
        """Start one in a process that nothing was imported in before."""
        return FreshCommands(self.environ).start(*args, folder=folder, environ=self.environ)

    def default_socket(self):
        """Where a service is looked for that is not there."""
        return re.search(r"no service answers at (.+?) \(", self.run("ls", folder=self.base).err)[1]


@pytest.fixture(scope="session")
def commands(new_commands):
    with tempfile.TemporaryDirectory(prefix="bm-") as name:  # a socket's path must be short
        yield Commands(Path(name).resolve(), new_commands)


@pytest.fixture(scope="session")
def template(commands):
    """A folder with volumes and user code, for others to be copies of."""
    folder = commands.base / "template"
    folder.mkdir()
    voxels = np.random.default_rng(1).integers(0, 200, (40, 30, 20)).astype(np.uint8)
    np.save(folder / "in.npy", voxels)
    with h5py.File(folder / "in.h5", "w") as file:
        file["volume/data"] = voxels
        file.create_group("empty")
    (folder / "steps.py").write_text(STEPS)
    ended = commands.run("volume", "create", "cells.json", "--shape", "32,32,32", folder=folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="session")
def fresh(commands, template):
    """Makes a fresh copy of the template, always at the same place unless it is given a name."""

    def make(name="here"):
        folder = commands.base / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def plain(commands):
    """A text without what differs from one machine or day to the next."""

    def make(text, folder):
        for path, name in ((folder, "HERE"), (commands.base, "BASE")):
            for spelling in (str(path), json.dumps(str(path))[1:-1]):
                text = text.replace(spelling, name)
        text = re.sub(r"\bon host [^\s,]+", "on host HOST", text)
        text = re.sub(r'"[0-9a-f]{16}"', '"HASH"', text)
        text = re.sub(r"\b(pid|process) \d+", r"\1 N", text)
        return re.sub(r"\b\d+(\.\d+)? s\b", "N s", text)

    return make


class Service:
    """The service with all its places by default, and a folder in which its jobs lie."""

    def __init__(self, commands, folder):
        self.folder = folder
        self.commands = commands
        self.socket = commands.default_socket()
        self.process = commands.start("serve", "--workers", "2", folder=commands.base)
        wait_for(self._has_workers, "the service")

    def _has_workers(self):
        assert self.process.poll() is None, self.process.communicate()
        ended = self.commands.run("workers", "--json", folder=self.folder)
        return ended.code == 0 and len(ended.documents[0]["workers"]) == 2

    def client(self):
        return blockmill.Client(self.socket, timeout_s=LIMIT_S)

    def end(self):
        self.process.terminate()
        try:
            _, err = self.process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:  # a test that failed has left blocks at their gate
            self.process.kill()
            self.process.communicate()
            raise
        assert self.process.returncode == 0, err


@pytest.fixture(scope="session")
def service(commands, fresh):
    """The one service of these tests."""
    made = Service(commands, fresh("jobs"))
    yield made
    made.end()


ROWS = {"input": "in.npy", "block_shape": [10, 30, 20], "user_code": ".", "workers": 2}


@pytest.fixture(scope="session")
def job_file():
    """Writes a job of four blocks; its name."""

    def write(folder, operation="copy", output="out.json", name="job.yaml", **fields):
        if output.endswith(".json"):
            output = {"address": output, "block_shape": [10, 30, 20]}
        if operation in ("prints", "gated", "raises"):
            operation = {"python": {"function": f"steps:{operation}", "args": fields.pop("args", {})}}
        (folder / name).write_text(json.dumps({**ROWS, "output": output, "operation": operation, **fields}))
        return name

    return write


def names_in(folder):
    """Files and folders below this one, folders with a slash."""
    return {f"{path.relative_to(folder)}{'/' * path.is_dir()}" for path in folder.rglob("*")}


@pytest.fixture(scope="session")
def names():
    return names_in


@dataclass
class HalfDone:
    """A run that was ended by Ctrl-C: names of files while it ran and after it, and how it ended."""

    during: set
    places: set
    after: set
    code: int
    err: str


@pytest.fixture(scope="session")
def half_done(commands, fresh, job_file):
    """Runs a job into an output, and ends it when two blocks are done and two at work."""
    made = {}

    def make(address):
        folder, gate = fresh(), commands.base / f"gate-{len(made)}"
        job = job_file(folder, "gated", address, args={"gate": str(gate), "free": 20})
        there, places = names_in(folder), names_in(commands.runtime)
        process = commands.start("run", job, folder=folder)

        def at_the_gate():
            assert process.poll() is None, process.communicate()
            return len(list(gate.parent.glob(f"{gate.name}.begun-*"))) == 2

        wait_for(at_the_gate, "two blocks at the gate")
        during, places = names_in(folder) - there, names_in(commands.runtime) - places
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT_S)
        return HalfDone(during, places, names_in(folder) - there, process.returncode, err)

    def cached(address):
        if address not in made:
            made[address] = make(address)
        return made[address]

    return cached
