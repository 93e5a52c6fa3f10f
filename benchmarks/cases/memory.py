"""Peak memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import yaml

from cases.growth import child
from cases.smooth import gaussian_job, make_source
from harness import Bench
from peers import installed
from scratch import empty_files

_SMOOTHING = Path(__file__).parent.parent / "smoothing.py"
_POLL_S = 0.02


def memory(bench: Bench) -> None:
    """Peak memory: the coordinating process of a large job; all processes while smoothing."""
    bench.unit = "bytes"
    blocks = 10_000 if bench.quick else 1_000_000
    source = make_source(bench.scratch, (128, 256, 256) if bench.quick else (256, 512, 512))
    folder = bench.scratch / "out"
    job = bench.scratch / "job.yaml"
    job.write_text(yaml.safe_dump(gaussian_job(source, folder / "smooth.json", "none") | {"workers": 2}))
    run = [sys.executable, "-m", "blockmill", "run", "-q", str(job)]
    smoothing = [sys.executable, str(_SMOOTHING)]
    contenders = {"ours, gaussian": lambda: _peak_of_tree(run, folder)}
    files = [str(source), str(folder)]
    contenders["pool, gaussian"] = lambda: _peak_of_tree([*smoothing, "pool", *files], None)
    if installed(bench, "daisy"):
        contenders["daisy, gaussian"] = lambda: _peak_of_tree([*smoothing, "daisy", *files], None)
    bench.race(contenders)
    bench.values["coordinator"] = [float(child("noop", blocks, bench.scratch)[1])]
    bench.note(
        f"coordinator: peak resident memory of the process with an engine and a job of {blocks} blocks, once"
    )
    bench.note(
        "gaussian: the highest sum over all processes of their proportional set sizes, looked at every 20 ms"
    )
    bench.at_most(80, "MB", 1e-6, "coordinator, 1e6 blocks", ours="coordinator")
    bench.within("daisy, gaussian", 1, "daisy 2", ours="ours, gaussian")


def _peak_of_tree(command: list[str], folder: Path | None) -> float:
    if folder is not None:
        folder.mkdir()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _pss_bytes(process))
        try:
            process.wait(_POLL_S)
        except psutil.TimeoutExpired:
            continue
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    output = folder or Path(command[-1])
    empty_files(output)
    output.rename(tempfile.mkdtemp(dir=output.parent))
    return float(peak)


def _pss_bytes(process: psutil.Popen) -> int:
    total = 0
    try:
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in tree:
        try:
            total += member.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
    return total
