"""Signals at random: to whom, which, and how they are counted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable

import psutil

from .jobs import ChaosJob, phase_of, tried_one
from .report import Report
from .scene import Scene

Process = subprocess.Popen[str]
Hit = tuple[str, str]
"""The kind of target and the signal."""
_ONE_OF_MANY = ("worker", "nursery", "client")


def strike(
    scene: Scene, report: Report, root: Process, kind_of_root: str, jobs: list[ChaosJob], since_s: float,
    clients: Iterable[Process] = (),
) -> Hit | None:  # fmt: skip
    """Send a random signal to a random target.

    Parameters
    ----------
    root : Popen
        The service, or a run.
    kind_of_root : {"daemon", "run"}
    jobs : list of ChaosJob
        Those that may be under way.
    since_s : float
        When `root` was started.
    clients : iterable of Popen

    Returns
    -------
    (kind, signal) or None
        What was done; None where nobody is there.
    """
    targets = _targets(scene, root, kind_of_root, clients)
    if not targets:
        return None
    kind = scene.rng.choice(sorted(targets))
    name = scene.rng.choice(["KILL", "KILL", "TERM", "STOP"])
    stopped_s = scene.rng.choice([0.05, 0.3, 1.0, 2.5])
    pids = [scene.rng.choice(targets[kind])] if kind in _ONE_OF_MANY else targets[kind]
    phase, tried = phase_of(jobs, since_s), tried_one(jobs, since_s)
    if kind == "worker" and tried in targets[kind]:
        pids = [tried]
    _send(pids, getattr(signal, f"SIG{name}"))
    report.hit(kind, name, phase)
    if name == "STOP":
        time.sleep(stopped_s)
        _send(pids, signal.SIGCONT)
    return kind, name


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _targets(
    scene: Scene, root: Process, kind_of_root: str, clients: Iterable[Process]
) -> dict[str, list[int]]:
    """What can be hit now, by kind."""
    found: dict[str, list[int]] = {"worker": [], "nursery": []}
    if root.poll() is None:
        found[kind_of_root] = [root.pid]
        with contextlib.suppress(psutil.Error):
            for nursery in psutil.Process(root.pid).children():
                found["nursery"].append(nursery.pid)
                found["worker"] += [worker.pid for worker in nursery.children()]
    found["client"] = [client.pid for client in clients if client.poll() is None]
    found["all"] = scene.processes()
    return {kind: pids for kind, pids in found.items() if pids}


def kill_all(scene: Scene) -> None:
    """End every process of the scene."""
    _send(scene.processes(), signal.SIGKILL)
