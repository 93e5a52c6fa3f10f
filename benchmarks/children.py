"""Programs that are measured from outside, as processes of their own.

python benchmarks/children.py noop COUNT FOLDER      no-op blocks; prints seconds per block and peak bytes
python benchmarks/children.py copied COUNT FOLDER    copied blocks; prints the same
python benchmarks/children.py pool SOURCE FOLDER     a one-block job by a Pool
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

EDGE = 16


def _peak_bytes() -> int:
    """Peak memory from /proc: that of getrusage is inherited from the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def noop(count: int, folder: Path) -> None:
    """Run a job whose blocks do nothing, after a small one that warms up.

    Parameters
    ----------
    count : int
        Number of blocks.
    folder : Path
        For files.
    """
    from blockmill.daemon.engine.engine import Engine
    from engine_jobs import noop_job, run_job

    with Engine(2) as engine:
        run_job(engine, noop_job(100, folder))
        start_s = time.perf_counter()
        run_job(engine, noop_job(count, folder))
        print((time.perf_counter() - start_s) / count, _peak_bytes())


def copied(count: int, folder: Path) -> None:
    """Run a job that copies blocks of 16^3 voxels between .npy files; the second run counts.

    Parameters
    ----------
    count : int
        Number of blocks, a multiple of 10.
    folder : Path
        For files.

    Raises
    ------
    RuntimeError
        If the job does not end as done.
    """
    import numpy as np

    from blockmill import Job
    from blockmill.daemon.engine.engine import Engine
    from blockmill.daemon.runs.run import JobRun

    source = folder / "source.npy"
    np.save(source, np.ones((EDGE * count // 10, EDGE * 10, EDGE), np.uint8))
    with Engine(2) as engine:
        for output in (folder / "first.npy", folder / "second.npy"):
            plain = {"address": str(output), "durability": "none"}
            job = {"input": str(source), "output": plain, "operation": "copy", "block_shape": [EDGE] * 3}
            start_s = time.perf_counter()
            summary = JobRun(Job.of(job), 2).execute(engine)
            duration_s = time.perf_counter() - start_s
            if summary.outcome != "done" or summary.blocks != count:
                raise RuntimeError(f"{summary.outcome} after {summary.finished} of {summary.blocks} blocks")
            os.truncate(output, 0)  # its pages are free for the second one
    print(duration_s / count, _peak_bytes())


def pool(source: str, folder: Path) -> None:
    """Smooth one block with a `multiprocessing.Pool`, as a user's script does.

    Parameters
    ----------
    source : str
        HDF5 file.
    folder : Path
        For block files.
    """
    import multiprocessing

    import smoothing

    with multiprocessing.get_context("spawn").Pool(2) as workers:
        workers.apply(smoothing.smooth_block, (source, str(folder), smoothing.EDGE, (0, 0, 0)))


if __name__ == "__main__":
    program, first, folder = sys.argv[1:4]
    if program == "pool":
        pool(first, Path(folder))
    else:
        {"noop": noop, "copied": copied}[program](int(first), Path(folder))
