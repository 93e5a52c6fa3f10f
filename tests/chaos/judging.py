"""What must hold of outputs, at any time and when their jobs have ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from .jobs import ChaosJob
from .report import Report
from .scene import BLOCK, BLOCKS, Scene

_UNREADABLE = (OSError, EOFError, KeyError, ValueError, RuntimeError)  # of numpy, h5py and a look at a folder
_ASIDE = "went-wrong"
_LATER_S = 0.05  # a block that was begun just before a look may note it just after


def look(jobs: list[ChaosJob], report: Report) -> None:
    """Compare what is available now, and remember it."""
    for job in jobs:
        found = available(job, report)
        job.have.append((time.time(), found))


def available(job: ChaosJob, report: Report) -> set[str]:
    """First voxels of the blocks that are marked as available, or "all"; each is compared."""
    return set(_blocks(job, report) if job.is_fileset else _merged(job, report))


def _blocks(job: ChaosJob, report: Report) -> Iterator[str]:
    for status in job.folder.glob(f"{job.name}_blocks/**/STATUS.txt"):
        folder = status.parent
        start = tuple(int(part.name[2:]) for part in (folder.parent.parent, folder.parent, folder))
        try:
            (path,) = (p for p in folder.iterdir() if p.name.startswith("block-") and p.suffix == ".h5")
            got = _dataset(path, "volume/data")
        except _UNREADABLE as error:
            if status.exists():
                report.defect("an available block can't be read", f"{folder}: {error!r}")
            continue
        if not status.exists():
            continue
        where = tuple(slice(a, a + b) for a, b in zip(start, BLOCK, strict=True))
        if not np.array_equal(got, job.want[where]):
            report.defect("an available block is wrong", folder)
        yield "-".join(map(str, start))


def _merged(job: ChaosJob, report: Report) -> Iterator[str]:
    path = job.folder / f"{job.name}.{'npy' if job.kind == 'stages' else job.kind}"
    if not path.exists():
        return
    try:
        got = _content(path)
        if not np.array_equal(got, job.want):
            report.defect("a merged output with its name is wrong", path)
    except _UNREADABLE as error:
        report.defect("a merged output with its name can't be read", f"{path}: {error!r}")
    yield "all"


def _content(path: Path) -> NDArray[np.uint8]:
    """The voxels of a whole output, by the library of its format."""
    if path.suffix == ".zarr":
        import zarr  # not in every environment that runs the tests of this driver

        return np.asarray(zarr.open_array(path, mode="r")[...])
    return np.load(path) if path.suffix == ".npy" else _dataset(path, "v/data")


def _dataset(path: Path, name: str) -> NDArray[np.uint8]:
    with h5py.File(path, "r", locking=False) as file:
        return file[name][()]


def judge(jobs: list[ChaosJob], scene: Scene, report: Report) -> None:
    """The end of a round: outputs, work done twice, what is left; the jobs' files are removed."""
    for job in jobs:
        found = available(job, report)
        if len(found) != (BLOCKS if job.is_fileset else 1):
            report.defect("a job is done and its output is not whole", f"{job.name} {job.kind}: {len(found)}")
        _judge_work(job, report)
        report.jobs_done += 1
    besides = (scene.folder / "state", scene.folder / _ASIDE, scene.runtime)
    if left := leavings(scene.folder, besides):
        report.defect("left lying after the end of all jobs", ", ".join(left[:6]))
    remove(jobs)


def _judge_work(job: ChaosJob, report: Report) -> None:
    begun = job.begun()
    if len(begun) != BLOCKS:
        report.defect("blocks without a computation", f"{job.name}: {len(begun)} of {BLOCKS} were begun")
    report.begun_again += sum(len(times) - 1 for times in begun.values())
    needless = {start for at_s, have in job.have for start in have if _begun_after(start, at_s, begun)}
    report.needless += len(needless)
    if needless:
        report.defect("finished blocks were done again", f"{job.name} {job.kind}: {sorted(needless)}")


def _begun_after(start: str, at_s: float, begun: dict[str, list[float]]) -> bool:
    times = (
        [t for all_of_one in begun.values() for t in all_of_one] if start == "all" else begun.get(start, [])
    )
    return any(t > at_s + _LATER_S for t in times)


def leavings(folder: Path, besides: Iterable[Path] = ()) -> list[str]:
    """Partial files and locks below a folder, which nobody may leave when all jobs have ended.

    Both layouts are looked for: files beside the output (`NAME.partial`, `BLOCK.partial-*`, `NAME.job.lock`),
    and `lock` and `partial` in a hidden folder `.NAME.blockmill` beside it. Records and ledgers may stay.
    """
    paths = (path for path in folder.rglob("*") if not any(path.is_relative_to(one) for one in besides))
    return sorted(str(path.relative_to(folder)) for path in paths if _is_leaving(path))


def _is_leaving(path: Path) -> bool:
    hidden = path.parent.name
    if hidden.startswith(".") and hidden.endswith(".blockmill"):
        return path.name.startswith(("lock", "partial")) or path.suffix == ".lock"
    return ".partial" in path.name or path.suffix == ".lock"


def remove(jobs: list[ChaosJob]) -> None:
    """Remove all files of jobs."""
    for path in _files_of(jobs):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def set_aside(jobs: list[ChaosJob]) -> None:
    """Keep the files of jobs that went wrong where they are in nobody's way."""
    for path in _files_of(jobs):
        place = path.parent / _ASIDE
        place.mkdir(exist_ok=True)
        path.rename(place / path.name)


def _files_of(jobs: list[ChaosJob]) -> list[Path]:
    return [path for job in jobs for dot in ("", ".") for path in job.folder.glob(f"{dot}{job.name}*")]
