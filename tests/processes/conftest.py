"""Real runs of the command, in processes of their own."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

STEPS = """
    import os, time
    from pathlib import Path

    def gated(block, context, gate, free=0):
        # Blocks from number `free` on wait until the gate opens; each says that it has begun.
        Path(f"{gate}.begun-{'-'.join(map(str, context.roi.start))}-{os.getpid()}").touch()
        while context.roi.start[0] >= free and not Path(gate).exists():
            time.sleep(0.005)
        return block

    def poison(block, context, at):
        if list(context.roi.start) == at:
            os.kill(os.getpid(), 9)
        return block

    def raises(block, context, at):
        if list(context.roi.start) == at:
            raise RuntimeError("no luck today")
        return block
"""
LIMIT_S = 60


@pytest.fixture(scope="session")
def wait_until():
    """Wait for something that other processes bring about."""

    def wait(true, what):
        deadline = time.monotonic() + LIMIT_S
        while not true():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.005)

    return wait


class Bench:
    """A folder with volumes, job files and user code, and the command run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes = []
        (folder / "steps.py").write_text(textwrap.dedent(STEPS))

    def volume(self, name="in.npy", shape=(40, 30, 20), dtype=np.uint8):
        voxels = np.random.default_rng(1).integers(0, 200, shape).astype(dtype)
        np.save(self.folder / name, voxels)
        return voxels

    def job(self, name="job.yaml", **fields):
        (self.folder / name).write_text(yaml.safe_dump(fields))
        return name

    def gated_job(self, output="out.json", **args):
        """A job whose blocks wait until `open_gate`."""
        gate = str(self.folder / "gate")
        return self.job(
            input="in.npy",
            output={"address": output, "block_shape": [10, 30, 20]} if output.endswith(".json") else output,
            block_shape=[10, 30, 20],
            operation={"python": {"function": "steps:gated", "args": {"gate": gate, **args}}},
            user_code=".",
            workers=2,
        )

    def open_gate(self):
        (self.folder / "gate").touch()

    def begun(self):
        """Names of the blocks whose work has begun, with the pid of the worker."""
        return [path.name.removeprefix("gate.begun-") for path in self.folder.glob("gate.begun-*")]

    def start(self, *args):
        process = subprocess.Popen(
            [sys.executable, "-m", "blockmill", *args],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "1",
                "XDG_RUNTIME_DIR": str(self.folder / "runtime"),
            },
        )
        self.processes.append(process)
        return process

    def run(self, *args, code=0, stdin=""):
        process = self.start(*args)
        out, err = process.communicate(stdin, timeout=LIMIT_S)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        return out, err

    def leavings(self):
        """Whatever a run should have removed: partial files, locks, sockets, logs."""
        left = [p for p in self.folder.rglob("*") if ".partial-" in p.name or p.name.endswith(".lock")]
        return left + list((self.folder / "runtime").iterdir())


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "runtime").mkdir(mode=0o700)
    made = Bench(tmp_path)
    yield made
    for process in made.processes:
        process.kill()  # where the test failed before its end
        process.communicate()
    strays = [p.pid for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(p.info["cmdline"])]
    assert not strays, f"processes {strays} were left behind"
