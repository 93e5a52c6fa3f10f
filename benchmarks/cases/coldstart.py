"""The duration of commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from cases.smooth import gaussian_job, make_source
from harness import Bench

_CHILDREN = Path(__file__).parent.parent / "children.py"


def cold_start(bench: Bench) -> None:
    """Cold start: a one-block job by the command, and its help."""
    source = make_source(bench.scratch, (128, 128, 128))
    one = {"roi": [[0, 0, 0], [64, 64, 64]], "block_shape": [64, 64, 64]}
    job = bench.scratch / "job.yaml"
    job.write_text(yaml.safe_dump(gaussian_job(source, bench.scratch / "out" / "smooth.json", "group") | one))
    command = [sys.executable, "-m", "blockmill"]
    contenders: dict[str, Callable[[], float]] = {
        "blockmill run": lambda: _timed(bench, [*command, "run", "-q", str(job)]),
        "blockmill --help": lambda: _timed(bench, [*command, "--help"]),
        "script with a Pool (spawn)": lambda: _timed(
            bench, [sys.executable, str(_CHILDREN), "pool", str(source), str(bench.scratch / "out")]
        ),
        "python -c pass": lambda: _timed(bench, [sys.executable, "-c", "pass"]),
    }
    bench.race(contenders)
    bench.note(
        "one 64^3 block, gaussian, 2 workers; the files of all programs and libraries are in the cache"
    )
    bench.at_most(1.0, "s", 1, "blockmill run", ours="blockmill run")
    bench.at_most(0.15, "s", 1, "blockmill --help", ours="blockmill --help")


def _timed(bench: Bench, command: list[str]) -> float:
    folder = bench.scratch / "out"
    folder.mkdir()
    start_s = time.perf_counter()
    # No time-out: with one, subprocess polls every 50 ms.
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    duration_s = time.perf_counter() - start_s
    shutil.rmtree(folder)
    return duration_s
