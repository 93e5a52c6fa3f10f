"""A round with `blockmill run`: it is disturbed, and run again, until it is done."""

from __future__ import annotations

import subprocess
import time

from .jobs import ChaosJob, make_jobs, wait_for
from .judging import judge, look, set_aside
from .report import Report
from .scene import Scene, command_of
from .striking import Hit, strike

_LOG = "run.log"
_CODES = (0, 1, -9, -15, 130, 143)
_MOST_RUNS = 40
_LONGEST_S = 90.0
_GONE_S = 5.0


def run_round(scene: Scene, report: Report) -> None:
    """Run one job with one to four signals; no service may be up, as signals to all would hit it."""
    (job,) = make_jobs(scene, report.rounds, 1)
    signals = scene.rng.randint(1, 4)
    for _ in range(_MOST_RUNS):
        code, hits = _run(job, signals, scene, report)
        signals -= len(hits)
        if code == 0:
            judge([job], scene, report)
            return
        report.notes[f"a run ended with {code}"] += 1
        if code == 1 and not any(kind in ("nursery", "all") for kind, _ in hits):
            # Without its nursery a run can't go on; any other loss costs attempts, of which there are many.
            report.defect("run fails, though a block may be tried again", scene.text_of(_LOG)[-300:])
    report.defect("a job is never done by run", scene.text_of(_LOG)[-400:])
    set_aside([job])


def _run(job: ChaosJob, signals: int, scene: Scene, report: Report) -> tuple[int | None, list[Hit]]:
    """Its exit code, None if it hangs, and what was hit."""
    started_s = time.time()
    with (scene.folder / _LOG).open("wb") as log:
        run = scene.start("run", "--workers", "2", f"{job.name}.yaml", log=log)
    hits: list[Hit] = []
    while len(hits) < signals and run.poll() is None:
        wait_for(scene.aim(), [job], started_s, lambda: run.poll() is None)
        time.sleep(scene.rng.uniform(0, 0.1))
        if run.poll() is not None:
            break
        hit = strike(scene, report, run, "run", [job], started_s)
        look([job], report)
        if hit is None:
            continue
        hits.append(hit)
        if hit[0] in ("run", "all") and hit[1] in ("TERM", "KILL"):
            break
    return _end_of(run, scene, report), hits


def _end_of(run: subprocess.Popen[str], scene: Scene, report: Report) -> int | None:
    try:
        code = run.wait(_LONGEST_S)
    except subprocess.TimeoutExpired:
        report.defect("run hangs (90 s)", scene.text_of(_LOG)[-600:])
        run.kill()
        run.wait()
        return None
    text = scene.text_of(_LOG)
    if "Traceback" in text:
        report.defect("run: traceback", text[-900:])
    if code not in _CODES:
        report.defect("run: exit code", f"{code} {text[-300:]}")
    _expect_nobody(scene, report)
    return code


def _expect_nobody(scene: Scene, report: Report) -> None:
    end_s = time.monotonic() + _GONE_S
    while (alive := scene.processes()) and time.monotonic() < end_s:
        time.sleep(0.02)
    if alive:
        report.defect("processes outlive the run by 5 s", [(pid, command_of(pid)) for pid in alive])
