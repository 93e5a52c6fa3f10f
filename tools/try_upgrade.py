"""Try an upgrade and the way back with two real versions: a service's state, clients, and outputs.

    python tools/try_upgrade.py OLD/bin/blockmill NEW/bin/blockmill

`make upgrade` builds the older one from the history of this repository.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml

LIMIT_S = 120
STEPS = """
import time
from pathlib import Path

HERE = Path(__file__).parents[1]

def double(block, context, held=False):
    if held and context.roi.start[0] >= 20:
        (HERE / f"held-{context.roi.start[0]}").touch()
        while not (HERE / "gate").exists():
            time.sleep(0.01)
    return block * 2

def fail(block, context):
    raise RuntimeError("no luck today")
"""
OUTPUTS = {"fileset": "half.json", "npy": "half.npy", "h5": "half.h5/v"}


class Place:
    """A folder with an input, user code and job files; both versions are started in it."""

    def __init__(self, folder: Path, old: Path, new: Path) -> None:
        self.folder, self.old, self.new = folder, old, new
        (folder / "code").mkdir()
        (folder / "code" / "steps.py").write_text(STEPS)
        self.voxels = np.random.default_rng(1).integers(0, 100, (40, 30, 20)).astype(np.uint8)
        np.save(folder / "in.npy", self.voxels)

    def job(self, name: str, output: str, function: str = "double", **args: object) -> str:
        """Write a job file of four blocks, of which the last two are held if `args` say so."""
        for path in self.folder.glob("held-*"):
            path.unlink()
        job = {
            "input": "in.npy",
            "output": {"address": output, **({"block_shape": [10, 30, 20]} if ".json" in output else {})},
            "operation": {"python": {"function": f"steps:{function}", "args": args}},
            "block_shape": [10, 30, 20],
            "user_code": "code",
            "retries": 0,
        }
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(job))
        return f"{name}.yaml"

    def start(self, command: Path, *args: str) -> subprocess.Popen[str]:
        """Start a command of one of the versions."""
        environ = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "BLOCKMILL_SOCKET": str(self.folder / "s/s")}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [command, *args], cwd=self.folder, env=environ, text=True, stdout=pipe, stderr=pipe
        )

    def say(self, command: Path, *args: str, code: int = 0) -> str:
        """What a command says, after a check of its exit code."""
        process = self.start(command, *args)
        out, err = process.communicate(timeout=LIMIT_S)
        if process.returncode != code:
            sys.exit(f"{command} {' '.join(args)}: exit code {process.returncode}, not {code}\n{out}\n{err}")
        return out + err

    def wait_until_held(self) -> None:
        """Wait until both workers are held by blocks, so that the two blocks before are computed."""
        held = [self.folder / f"held-{start}" for start in (20, 30)]
        wait_for(lambda: all(path.exists() for path in held), "blocks that are held")

    def noted(self, output: str) -> int:
        """How many blocks of an output version 0.1 has noted as done."""
        name = output.partition("/")[0]
        if name.endswith(".json"):
            blocks = self.folder / f"{name.removesuffix('.json')}_blocks"
            return sum(path.stat().st_size > 0 for path in blocks.rglob("STATUS.txt"))
        return (self.folder / f"{name}.blocks").read_bytes()[::5].count(1)  # an entry of five bytes a block

    @contextlib.contextmanager
    def served(self, command: Path, end: int = signal.SIGTERM) -> Iterator[None]:
        """A service of one of the versions, ended by a signal."""
        service = self.start(command, "serve", "--state-dir", "state", "--workers", "2")
        try:
            wait_for(lambda: (self.folder / "s/s").exists() or service.poll() is not None, "the service")
            yield
        finally:
            service.send_signal(end)
            _, err = service.communicate(timeout=LIMIT_S)
            (self.folder / "s/s").unlink(missing_ok=True)
            sys.stderr.write(err if service.returncode not in (0, -end) else "")

    def states(self, command: Path) -> dict[str, str]:
        """The states of all jobs by their names."""
        jobs = json.loads(self.say(command, "ls", "--all", "--json"))["jobs"]
        return {job["name"]: job["state"] for job in jobs}

    def is_right(self, output: str) -> bool:
        """Whether an output is what its job was to make."""
        code = "import blockmill, sys, numpy; v = blockmill.open_volume(sys.argv[1])\n"
        code += "numpy.save(sys.argv[2], v.read(blockmill.Roi.from_shape(v.shape)))"
        self.say(self.new.with_name("python"), "-c", code, output, "read.npy")
        return np.array_equal(np.load(self.folder / "read.npy"), self.voxels * 2)


def main(old: Path, new: Path) -> None:
    """Try all of it; exits with a text at the first thing that is not as it should be."""
    with tempfile.TemporaryDirectory(prefix="bm-") as folder:  # a socket's path must be short
        place = Place(Path(folder), old, new)
        for step in (outputs_are_taken_up, jobs_go_on, an_old_client_is_served, the_way_back):
            step(place)
            print("as it should be:", step.__name__.replace("_", " "))


def outputs_are_taken_up(place: Place) -> None:
    """A run of the old version is interrupted; the new one finishes it."""
    for kind, output in OUTPUTS.items():
        job = place.job(f"half-{kind}", output, held=True)
        process = place.start(place.old, "run", "--workers", "2", job)
        place.wait_until_held()
        wait_for(lambda output=output: place.noted(output) == 2, "the notes of two blocks")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT_S)
        (place.folder / "gate").touch()
        summary = json.loads(place.say(place.new, "run", "--json", job).splitlines()[0])
        (place.folder / "gate").unlink()
        expect((summary["blocks"], summary["skipped"]) == (4, 2), f"{kind}: {summary}")
        expect(place.is_right(output), f"{kind} is wrong")


def jobs_go_on(place: Place) -> None:
    """A service of the old version is killed; one of the new version has all its jobs, and ends them."""
    with place.served(place.old, signal.SIGKILL):
        place.say(place.old, "submit", "--wait", place.job("done", "done.json"))
        place.say(place.old, "submit", "--wait", place.job("failed", "failed.npy", "fail"), code=1)
        place.say(place.old, "submit", place.job("running", "running.json", held=True))
        place.wait_until_held()
        place.say(place.old, "submit", place.job("queued", "queued.h5/v"), "--after", "3")
        told = place.say(place.new, "status", "queued", code=6)
        expect("the service is of version" in told and "start the service again" in told, told)
    (place.folder / "gate").touch()
    with place.served(place.new):
        place.say(place.new, "wait", "3", "4")
        states = place.states(place.new)
        expect(
            states == {"done": "done", "failed": "failed", "running": "done", "queued": "done"}, str(states)
        )
        expect(all(map(place.is_right, ("done.json", "running.json", "queued.h5/v"))), "an output is wrong")


def an_old_client_is_served(place: Place) -> None:
    """What it can say, the new service understands."""
    with place.served(place.new):
        place.say(place.old, "submit", "--wait", place.job("of-old", "of-old.npy"))
        expect(place.states(place.old)["of-old"] == "done", "the job of an old client")
        expect("begins" in place.say(place.old, "logs", "5"), "its log")


def the_way_back(place: Place) -> None:
    """The old service refuses the journal of the new one, and takes its copy."""
    told = place.say(place.old, "serve", "--state-dir", "state", code=1)
    expect("written by a newer blockmill" in told, told)
    state = place.folder / "state"
    (state / "newer").mkdir()
    for path in state.glob("journal.db*"):
        path.rename(state / "newer" / path.name)
    (copy,) = state.glob("journal-of-*-safe-to-remove.db")
    copy.rename(state / "journal.db")
    with place.served(place.old):
        states = place.states(place.old)
        expect((states["done"], states["failed"], len(states)) == ("done", "failed", 4), str(states))


def expect(true: bool, otherwise: str) -> None:
    """End with a text if something is not as it should be."""
    if not true:
        sys.exit(f"not as it should be: {otherwise}")


def wait_for(true: Callable[[], bool], what: str) -> None:
    """Wait for something that other processes bring about."""
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        expect(time.monotonic() < deadline_s, f"waited in vain for {what}")
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
