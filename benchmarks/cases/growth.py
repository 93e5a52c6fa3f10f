"""The cost of a block in large and in small jobs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from harness import Bench

_CHILDREN = Path(__file__).parent.parent / "children.py"


def noop(bench: Bench) -> None:
    """Growth: time per no-op block, by blocks in the job."""
    _growth(bench, "noop", (1_000, 10_000) if bench.quick else (1_000, 10_000, 100_000, 1_000_000))


def copied(bench: Bench) -> None:
    """Growth: time per copied block of 16^3 voxels, by blocks in the job."""
    _growth(bench, "copied", (1_000, 5_000) if bench.quick else (1_000, 10_000, 100_000))


def _growth(bench: Bench, program: str, sizes: tuple[int, ...]) -> None:
    bench.race({f"{size} blocks": partial(_per_block, bench, program, size) for size in sizes})
    for size in sizes[1:]:
        bench.within(f"{sizes[0]} blocks", 1.2, ours=f"{size} blocks")
    bench.note("each job in a process of its own, whose workers are up")
    if program == "copied":
        bench.note(
            "each job runs twice, and the second time counts: the pages of its output are there by then"
        )


def _per_block(bench: Bench, program: str, size: int) -> float:
    return child(program, size, bench.scratch)[0]


def child(program: str, count: int, scratch: Path) -> tuple[float, int]:
    """Run a job in a process of its own.

    Parameters
    ----------
    program : {"noop", "copied"}
        See `children.py`.
    count : int
        Number of blocks.
    scratch : Path
        Folder for scratch files.

    Returns
    -------
    seconds : float
        Per block.
    peak_bytes : int
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, str(_CHILDREN), program, str(count), folder]
        figures = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, timeout=300
        ).stdout.split()
    return float(figures[0]), int(figures[1])
