"""One attempt at a cluster task: its command, its process, its log."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from ...shared.errors import StorageError
from ...shared.geometry.roi import Roi
from ...shared.lazyflow.clusterconfig import ClusterConfig
from ...shared.lazyflow.roistrings import format_subregion

_TERM_S = 3.0


@dataclass(slots=True)
class ClusterTask:
    """A block to compute by a command of its own.

    Attributes
    ----------
    name : str
        ``J07``: the number of the block in C order, so that it is the same in every run.
    block : Roi
        In voxels of the output's view.
    attempts : int
        Number of attempts that have begun.
    reason : str
        Why the last one failed.
    """

    name: str
    block: Roi
    attempts: int = 0
    reason: str = ""


def command_of(config: ClusterConfig, job_file: str, task: ClusterTask) -> str:
    """The shell command that computes a task's block, from ``command_format``.

    Parameters
    ----------
    config : ClusterConfig
    job_file : str
        Absolute path.
    task : ClusterTask

    Returns
    -------
    str
    """
    words = ["cluster", "block", config.path, job_file, "--roi", format_subregion(task.block)]
    return config.command_format.format(
        task_args=shlex.join(words), task_name=task.name, task_output_file=log_of(config, task)
    )


def log_of(config: ClusterConfig, task: ClusterTask) -> str:
    """Path of the log file of a task: all output of its attempts.

    Parameters
    ----------
    config : ClusterConfig
    task : ClusterTask

    Returns
    -------
    str
    """
    return os.path.join(config.output_log_directory, f"{task.name}.log")


@dataclass(slots=True)
class Attempt:
    """A process that runs a task's command: a shell here, or an ssh that waits for one on another host."""

    task: ClusterTask
    process: subprocess.Popen[bytes]
    started_s: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started_s

    def end(self) -> None:
        """End the process and its children on this host: SIGTERM, then SIGKILL after 3 s."""
        for number, patience_s in ((signal.SIGTERM, _TERM_S), (signal.SIGKILL, None)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()


def launch(config: ClusterConfig, job_file: str, task: ClusterTask) -> Attempt:
    """Begin an attempt, in a process group of its own; its output is appended to the task's log.

    Parameters
    ----------
    config : ClusterConfig
    job_file : str
        Absolute path.
    task : ClusterTask

    Returns
    -------
    Attempt

    Raises
    ------
    StorageError
        If the log can't be written, or the command can't be started.
    """
    task.attempts += 1
    command = command_of(config, job_file, task)
    path = log_of(config, task)
    try:
        with Path(path).open("ab") as log:
            log.write(f"--- attempt {task.attempts}: {command}\n".encode())
            log.flush()
            process = subprocess.Popen(
                _words(config, command),
                cwd=config.server_working_directory if config.is_local else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        raise StorageError(f"could not start task {task.name} (log {path}): {error}") from error
    return Attempt(task, process)


def _words(config: ClusterConfig, command: str) -> list[str]:
    if config.is_local:
        return ["/bin/sh", "-c", command]
    if config.server_working_directory is not None:
        command = f"cd {shlex.quote(config.server_working_directory)} && {{ {command}\n}}"
    return ["ssh", "-o", "BatchMode=yes", config.task_launch_server, command]
