"""A whole job: read, gaussian with a halo, write a file per block."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import smoothing
from blockmill import Job, Roi, open_volume
from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.runs.run import JobRun
from harness import Bench
from peers import installed, nothing, pool, run_daisy
from scratch import empty_files
from volumes import DATASET, voxels

_MODULES = {"daisy": "daisy", "dask": "dask", "loky": "joblib"}
_POOLS = ("pool", "loky")


def gaussian(bench: Bench) -> None:
    """Read, gaussian of sigma 1.5 with its halo, write a file per 64^3 block."""
    shape = (128, 256, 256) if bench.quick else (256, 512, 512)
    source = make_source(bench.scratch, shape)
    peers = [name for name in smoothing.CONTENDERS if installed(bench, _MODULES.get(name, "h5py"))]
    _check(bench, source)
    with (
        pool(bench.cores) as workers,
        Engine(bench.cores, preload=("scipy.ndimage",)) as engine,
    ):
        contenders: dict[str, Callable[[], float]] = {
            "ours": partial(_run_timed, bench, source, "none", engine),
            "ours, durability group": partial(_run_timed, bench, source, "group", engine),
            "ours, engine started within": partial(_run_timed, bench, source, "none"),
        }
        by_name: dict[str, Callable[..., None]] = {name: smoothing.CONTENDERS[name] for name in peers}
        by_name["pool"] = partial(_run_pool, workers)
        contenders |= {
            name: partial(_run_peer, bench, source, run, smoothing.EDGE) for name, run in by_name.items()
        }
        contenders["pool, 128^3 tasks"] = partial(_run_peer, bench, source, by_name["pool"], 128)
        bench.race(contenders)
    bench.note(
        f"{'x'.join(map(str, shape))} uint8 in one HDF5 file; workers are up, but where it says otherwise"
    )
    bench.note("daisy: its run less one of two blocks that do nothing, in the same round")
    bench.note(
        "128^3 tasks: a task reads and smooths 128^3 voxels and writes 8 block files, as ours may choose to"
    )
    bench.note(
        "ours also locks, checks and notes each block; durability none: nothing is synced, as with the peers"
    )
    bench.faster(_POOLS, 1.3, "fastest direct pool")
    bench.faster("daisy", 1.3, "daisy 2")
    bench.faster("pool, 128^3 tasks", 1, "pool whose tasks are 8 blocks")


def _new_folder(bench: Bench) -> Path:
    return Path(tempfile.mkdtemp(dir=bench.scratch))


def make_source(folder: Path, shape: tuple[int, ...]) -> Path:
    """Write the input: one contiguous dataset.

    Parameters
    ----------
    folder : Path
    shape : tuple of int

    Returns
    -------
    Path
        Of the HDF5 file.
    """
    path = folder / "source.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(DATASET, data=voxels(shape))
    return path


def gaussian_job(source: Path, output: Path, durability: str) -> dict[str, Any]:
    """Make the job, as in its file.

    Parameters
    ----------
    source : Path
        HDF5 file.
    output : Path
        Description of the fileset.
    durability : str

    Returns
    -------
    dict
    """
    fileset = {"address": str(output), "block_shape": [smoothing.EDGE] * 3, "durability": durability}
    return {
        "input": f"{source}/{DATASET}",
        "output": fileset,
        "operation": {"gaussian": {"sigma": smoothing.SIGMA}},
    }


def run_job(source: Path, output: Path, durability: str, cores: int, engine: Engine | None = None) -> None:
    """Run the job in this process.

    Parameters
    ----------
    source : Path
        HDF5 file.
    output : Path
        Description of the fileset.
    durability : str
    cores : int
        Number of workers.
    engine : Engine, optional
        Default: one for this run.

    Raises
    ------
    RuntimeError
        If the job does not end as done.
    """
    job = Job.of(gaussian_job(source, output, durability))
    if engine is not None:
        summary = JobRun(job, cores).execute(engine)
    else:
        with Engine(cores, preload=job.operation.preload) as own_engine:
            summary = JobRun(job, cores).execute(own_engine)
    if summary.outcome != "done":
        raise RuntimeError(f"the job ended as {summary.outcome}: {summary.failures[:1]}")


def _run_timed(bench: Bench, source: Path, durability: str, engine: Engine | None = None) -> float:
    folder = _new_folder(bench)
    start_s = time.perf_counter()
    run_job(source, folder / "smooth.json", durability, bench.cores, engine)
    duration_s = time.perf_counter() - start_s
    empty_files(folder)
    return duration_s


def _run_peer(bench: Bench, source: Path, run: Callable[..., None], edge: int) -> float:
    folder = _new_folder(bench)
    start_s = time.perf_counter()
    run(str(source), str(folder), bench.cores, edge)
    duration_s = time.perf_counter() - start_s
    empty_files(folder)
    if run is smoothing.daisy:
        start_s = time.perf_counter()
        run_daisy((2,), (1,), 0, nothing, bench.cores)
        duration_s -= time.perf_counter() - start_s
    return duration_s


def _run_pool(workers: Any, source: str, folder: str, _cores: int, edge: int) -> None:
    smoothing.smooth_with_pool(workers, source, folder, edge)


def _check(bench: Bench, source: Path) -> None:
    """Check that all block files hold exactly the voxels of the smoothed whole volume."""
    from scipy.ndimage import gaussian_filter

    with h5py.File(source, "r") as file:
        expected = gaussian_filter(file[DATASET][()], smoothing.SIGMA)
    job_folder, pool_folder = _new_folder(bench), _new_folder(bench)
    run_job(source, job_folder / "smooth.json", "none", bench.cores)
    smoothing.pool(str(source), str(pool_folder), bench.cores)
    volume = open_volume(str(job_folder / "smooth.json"))
    for result in (volume.read(Roi.from_shape(expected.shape)), _assemble(pool_folder, expected.shape)):
        if not np.array_equal(result, expected):
            raise AssertionError("wrong voxels")
    empty_files(job_folder)
    empty_files(pool_folder)


def _assemble(folder: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    result = np.zeros(shape, np.uint8)
    for path in folder.iterdir():
        with h5py.File(path, "r") as file:
            slices = tuple(slice(int(n), int(n) + smoothing.EDGE) for n in path.stem.split("-"))
            result[slices] = file[DATASET][()]
    return result
