"""A round with the service: jobs are submitted and disturbed until all are done."""

from __future__ import annotations

import subprocess
import time

from blockmill import Client

from .jobs import ChaosJob, make_jobs, wait_for
from .judging import judge, look, set_aside
from .report import Report
from .scene import Scene
from .service import Service
from .striking import strike

_CODES = (0, 4, -9, -15, 130, 143)  # 4: the service can't be reached
_MOST_TRIES = 8
_DONE_S = 90.0


def serve_round(scene: Scene, report: Report, service: Service) -> None:
    """Submit some jobs, send one to five signals, and see them done."""
    service.ensure()
    jobs = make_jobs(scene, report.rounds, scene.rng.choice([1, 2, 3]))
    for job in jobs:
        if not _submitted(job, jobs, scene, report, service):
            _give_up(jobs, scene)
            return
    for _ in range(scene.rng.randint(1, 5)):
        _disturb(jobs, scene, report, service)
    service.ensure()
    _look_up(jobs, scene, report)
    if not _all_done(jobs, scene, report):
        _give_up(jobs, scene)
        return
    judge(jobs, scene, report)
    service.note_open_files()


def _give_up(jobs: list[ChaosJob], scene: Scene) -> None:
    """End what is left of a round that went wrong, so that the next one is judged by itself."""
    numbers = [str(job.number) for job in jobs if job.number is not None]
    for number in numbers:
        scene.output_of("cancel", number)
    for number in numbers:
        scene.output_of("wait", number)
    set_aside(jobs)


def _submitted(job: ChaosJob, jobs: list[ChaosJob], scene: Scene, report: Report, service: Service) -> bool:
    """Submit it until the service knows it; the client or the service may be hit meanwhile."""
    err = ""
    while job.number is None:
        if job.asked == _MOST_TRIES:
            report.defect("not submitted in 8 tries", err[-300:])
            return False
        job.asked += 1
        after = ["--after", str(job.after.number), "--no-check"] if job.after else []
        with scene.start("submit", f"{job.name}.yaml", *after) as client:
            _disturb_submission(client, jobs, scene, report, service)
            out, err = _end_of(client, report)
        if out.startswith("job "):
            job.number = int(out.split()[1].rstrip(":"))
        elif client.returncode not in _CODES:
            told = scene.output_of("status", job.after.number)[-600:] if job.after else ""
            report.defect("submit fails", f"{client.returncode} {err[-300:]}{told}")
            return False
        service.ensure()
        _look_up(jobs, scene, report)
    return True


def _disturb_submission(
    client: subprocess.Popen[str], jobs: list[ChaosJob], scene: Scene, report: Report, service: Service
) -> None:
    """Hit the client on its way, or the job, which may be over before the client is."""
    kind = scene.rng.choice(("client", "job", "nobody"))
    if kind == "nobody":
        return
    if kind == "client":
        time.sleep(scene.rng.uniform(0, 0.5))
    else:
        wait_for(scene.aim(), jobs, service.started_s, lambda: service.runs and client.poll() is None)
    clients = [client] if kind == "client" else []
    hit = strike(scene, report, service.process, "daemon", jobs, service.started_s, clients)
    service.expect_end_after(hit)


def _end_of(client: subprocess.Popen[str], report: Report) -> tuple[str, str]:
    try:
        out, err = client.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        client.kill()
        out, err = client.communicate()
        report.defect("submit hangs", err[-300:])
    if "Traceback" in err:
        report.defect("submit: traceback", err[-800:])
    return out, err


def _look_up(jobs: list[ChaosJob], scene: Scene, report: Report) -> None:
    """Compare the jobs with those that the service knows; each must be there once."""
    known: dict[str, list[int]] = {}
    with Client(scene.socket) as client:
        for info in client.jobs(limit=100_000):
            known.setdefault(info.name, []).append(info.id)
    for job in jobs:
        found = known.get(job.name, [])
        if job.number is not None and job.number not in found:
            report.defect("an accepted job is not known any more", f"{job.name} was job {job.number}")
        if len(found) > 1:
            report.defect(
                "one submission became several jobs", f"{job.name}: {found}, asked {job.asked} times"
            )
        if found:
            job.number = found[0]


def _disturb(jobs: list[ChaosJob], scene: Scene, report: Report, service: Service) -> None:
    wait_for(scene.aim(), jobs, service.started_s, lambda: service.runs)
    time.sleep(scene.rng.uniform(0, 0.1))
    hit = strike(scene, report, service.process, "daemon", jobs, service.started_s)
    look(jobs, report)
    service.expect_end_after(hit)
    if not service.runs and scene.rng.random() < 0.8:
        service.start()
        time.sleep(scene.rng.choice([0, 0.2, 0.5, 1]))


def _all_done(jobs: list[ChaosJob], scene: Scene, report: Report) -> bool:
    ends: dict[object, str] = {}
    try:
        with Client(scene.socket) as client:
            for job in jobs:
                assert job.number is not None, "it was submitted"
                ends[job.number] = client.wait(job.number, timeout_s=_DONE_S).state
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        ends["wait"] = repr(error)
    if set(ends.values()) == {"done"}:
        return True
    worst = next((job for job in jobs if ends.get(job.number) != "done"), jobs[0])
    told = scene.output_of("status", *(job.number for job in jobs))[-1500:]
    log = scene.output_of("logs", worst.number)[-600:]
    report.defect("jobs do not end well", f"{ends}\n{told}\nlog of job {worst.number}:\n{log}")
    return False
