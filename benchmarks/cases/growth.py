"""Whether a block costs the same in a large job as in a small one."""

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


def _growth(bench: Bench, what: str, sizes: tuple[int, ...]) -> None:
    bench.race({f"{size} blocks": partial(_per_block, bench, what, size) for size in sizes})
    for size in sizes[1:]:
        bench.within(f"{sizes[0]} blocks", 1.2, ours=f"{size} blocks")
    bench.note("each job in a process of its own, whose workers are up")
    if what == "copied":
        bench.note(
            "each job runs twice, and the second time counts: the pages of its output are there by then"
        )


def _per_block(bench: Bench, what: str, size: int) -> float:
    return child(what, size, bench.scratch)[0]


def child(what: str, count: int, scratch: Path) -> tuple[float, int]:
    """Seconds per block and peak bytes of a job in a process of its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, str(_CHILDREN), what, str(count), folder]
        told = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, timeout=300
        ).stdout.split()
    return float(told[0]), int(told[1])
