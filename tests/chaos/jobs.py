"""The jobs of a round, and what their user code has noted."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .scene import BLOCKS, Scene

Phase = Literal["trial", "work", "else"]
"""The trial of a job before its first block, its blocks, or anything before, between and after."""

_OUTPUTS = {
    "raw": "{{address: {name}.json, block_shape: [16, 16, 32]}}",
    "gzip": "{{address: {name}.json, block_shape: [16, 16, 32], compression: gzip}}",
    "h5": "{name}.h5/v/data",
    "npy": "{name}.npy",
    "zarr": "{{address: {name}.zarr, chunks: [16, 16, 32]}}",
    "stages": "{name}.npy",
}
_ADDRESSES = {"raw": "{name}.json", "gzip": "{name}.json", "zarr": "{name}.zarr"}
_JOB = """\
input: {given}
output: {output}
block_shape: [16, 16, 32]
user_code: {name}.code
retries: 30
operation: {{python: {{function: 'steps:invert', args: {{s: {block_s}}}}}}}
"""
_STAGES = """\
inputs: {{given: {given}}}
stages:
  inverted:
    input: given
    block_shape: [16, 16, 32]
    operation: {{python: {{function: 'steps:invert', args: {{s: {block_s}}}}}}}
  copied:
    input: inverted
    block_shape: [16, 16, 32]
    operation: [copy, {{median: {{size: 1}}}}]
    output: {output}
user_code: {name}.code
retries: 30
"""
# Its import takes a while: so a signal can come during the trial, which imports it before the first block.
_CODE = """\
import os, time

def say(what, where="-"):
    fd = os.open({mark!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, f"{{what}} {{where}} {{time.time():.4f}} {{os.getpid()}}\\n".encode())
    os.close(fd)

say("import")
time.sleep({import_s})
say("imported")

def invert(block, context, s):
    where = "-".join(map(str, context.roi.start))
    say("begin", where)
    time.sleep(s)
    out = 255 - block
    say("end", where)
    return out
"""


class Mark(NamedTuple):
    """A line that the user code has written: import, imported, begin or end."""

    what: str
    where: str
    at_s: float
    pid: int


@dataclass
class ChaosJob:
    """A job, and what is known of it.

    Attributes
    ----------
    kind : {"raw", "gzip", "h5", "npy", "zarr", "stages"}
        Of its output; the first two are filesets, the last one is made in two stages.
    want : ndarray
        The voxels that must come out.
    number : int or None
        Its number in the service, once that has accepted it.
    have : list of (float, set of str)
        Which blocks were available at which times; "all" of a merged output.
    """

    name: str
    kind: str
    folder: Path
    want: NDArray[np.uint8]
    address: str
    after: ChaosJob | None
    number: int | None = None
    asked: int = 0
    have: list[tuple[float, set[str]]] = field(default_factory=list)

    @property
    def is_fileset(self) -> bool:
        """Whether workers write its blocks."""
        return self.kind in ("raw", "gzip")

    @property
    def _mark(self) -> Path:
        return self.folder / f"{self.name}.mark"

    def write(self, given: str, block_s: float, import_s: float) -> None:
        """Write its file and its code."""
        output = _OUTPUTS[self.kind].format(name=self.name)
        form = _STAGES if self.kind == "stages" else _JOB
        text = form.format(given=given, output=output, name=self.name, block_s=block_s)
        (self.folder / f"{self.name}.yaml").write_text(text)
        code = self.folder / f"{self.name}.code"
        code.mkdir()
        (code / "steps.py").write_text(_CODE.format(mark=str(self._mark), import_s=import_s))

    def marks(self) -> list[Mark]:
        """What its code has noted, in order of time."""
        if not self._mark.exists():
            return []
        lines = [line.split() for line in self._mark.read_text().splitlines()]
        return [Mark(what, where, float(at), int(pid)) for what, where, at, pid in lines]

    def begun(self) -> dict[str, list[float]]:
        """When each block was begun, by its first voxel."""
        begun = defaultdict(list)
        for mark in self.marks():
            if mark.what == "begin":
                begun[mark.where].append(mark.at_s)
        return begun

    def all_ended(self) -> bool:
        """Whether each block was computed at least once."""
        return len({mark.where for mark in self.marks() if mark.what == "end"}) == BLOCKS

    def at_work(self, since_s: float) -> bool:
        """Whether blocks were begun since then, and there are more to do, or one is being done."""
        marks = [mark for mark in self.marks() if mark.at_s >= since_s]
        if not any(mark.what == "begin" for mark in marks):
            return False
        return marks[-1].what == "begin" or not self.all_ended()

    def trying(self, since_s: float) -> int | None:
        """The process that tries it now: it imports the code, and no block was begun since `since_s`."""
        marks = [mark for mark in self.marks() if mark.at_s >= since_s]
        if not marks or marks[-1].what != "import" or any(mark.what == "begin" for mark in marks):
            return None
        return marks[-1].pid


def make_jobs(scene: Scene, number: int, count: int) -> list[ChaosJob]:
    """The jobs of a round; some read what the one before writes."""
    jobs: list[ChaosJob] = []
    for place in range(count):
        kind, name = scene.rng.choice(list(_OUTPUTS)), f"r{number}j{place}"
        source = jobs[-1] if jobs and scene.rng.random() < 0.4 else None
        address = _ADDRESSES.get(kind, _OUTPUTS[kind]).format(name=name)
        want = 255 - (source.want if source else scene.volume)
        job = ChaosJob(name, kind, scene.folder, want, address, source)
        given = source.address if source else "in.npy"
        job.write(given, scene.rng.choice([0.005, 0.03, 0.08]), scene.rng.choice([0.02, 0.15, 0.4]))
        jobs.append(job)
    return jobs


def tried_one(jobs: list[ChaosJob], since_s: float) -> int | None:
    """The process that tries one of the jobs now."""
    return next((pid for job in jobs if (pid := job.trying(since_s)) is not None), None)


def phase_of(jobs: list[ChaosJob], since_s: float) -> Phase:
    """What the process that was started at `since_s` does with the jobs now."""
    if tried_one(jobs, since_s) is not None:
        return "trial"
    return "work" if any(job.at_work(since_s) for job in jobs) else "else"


def wait_for(
    phase: Phase, jobs: list[ChaosJob], since_s: float, go_on: Callable[[], bool], longest_s: float = 30.0
) -> None:
    """Return in that phase, or where it can't come any more.

    On a busy machine a fixed time would be over before anything has begun, or after all has ended.

    Parameters
    ----------
    phase : {"trial", "work", "else"}
        With "else" nothing is waited for.
    jobs : list of ChaosJob
    since_s : float
        When the process that does them was started.
    go_on : callable
        Whether that process lives.
    longest_s : float
    """
    end_s = time.monotonic() + longest_s
    while phase not in ("else", phase_of(jobs, since_s)) and go_on() and time.monotonic() < end_s:
        if all(job.all_ended() for job in jobs):
            return
        time.sleep(0.005)
