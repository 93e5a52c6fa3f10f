"""The master of a cluster run: a task for each block that is not done, watched until it has ended."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...shared.errors import StorageError
from ...shared.lazyflow.clusterconfig import ClusterConfig
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from .launching import Attempt, ClusterTask, launch, log_of
from .output import ClusterJob, ReadFiles, is_done, prepare_output, writer_of

_POLL_S = 0.02
_STATUS_S = 1.0


@dataclass(slots=True)
class ClusterOutcome:
    """The result of a cluster run.

    Attributes
    ----------
    blocks, skipped : int
        Blocks of the output's view; those that were finished before.
    done, failed : list of ClusterTask
    locked : list of str
        Blocks that were left out, each with the process that is writing it.
    changed : str
        What the tasks read and has changed meanwhile; then none of the blocks of this run is available.
    """

    blocks: int = 0
    skipped: int = 0
    done: list[ClusterTask] = field(default_factory=list)
    failed: list[ClusterTask] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)
    changed: str = ""

    @property
    def complete(self) -> bool:
        """True if every block is available now."""
        return not self.failed and not self.locked and not self.changed


class Master:
    """Runs a command for each unfinished block of an output, a bounded number at a time.

    The original starts all commands and returns; here each is watched, and started again if it fails.
    If the master itself is killed, its tasks go on and finish their blocks; the next run finds these
    blocks finished, or held by their locks.

    Parameters
    ----------
    config : ClusterConfig
    work : ClusterJob
    job_file : str
        Absolute path, which the commands of the nodes name.
    at_once : int
        Largest number of commands at any time.
    retries : int
        Further attempts at a task that failed.
    detached : bool
        The commands return before their tasks have ended, because they only put them into a queue:
        wait for the status of the block, at most ``task_timeout_secs``.
    say : callable
        Called with each line for the user.
    interrupted : callable
        Polled; the commands are ended once it returns true.
    """

    def __init__(
        self,
        config: ClusterConfig,
        work: ClusterJob,
        job_file: str,
        *,
        at_once: int,
        retries: int,
        detached: bool = False,
        say: Callable[[str], None] = print,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._work = work
        self._job_file = job_file
        self._at_once = at_once
        self._retries = retries
        self._detached = detached
        self._say = say
        self._interrupted = interrupted
        self._outcome = ClusterOutcome()
        self._waiting: deque[ClusterTask] = deque()
        self._running: list[Attempt] = []
        self._last_status_s = 0.0

    def run(self) -> ClusterOutcome:
        """Compute the blocks that are not finished yet.

        Returns
        -------
        ClusterOutcome

        Raises
        ------
        KeyboardInterrupt
            Once `interrupted` returns true; all commands have been ended.
        BlockmillError
            If output or log directory can't be prepared, or a command can't be started.
        """
        reads = ReadFiles(self._work, self._config.output_log_directory)
        if note := self._work.input_check().note:
            self._say(note)
        with prepare_output(self._work) as fileset:
            self._list_tasks(fileset)
            if self._waiting:
                _make_folder(self._config)
            try:
                while self._waiting or self._running:
                    if self._interrupted():
                        raise KeyboardInterrupt
                    self._step(fileset)
            finally:
                for attempt in self._running:
                    attempt.end()
            self._check_reads(reads, fileset)
        return self._outcome

    def _check_reads(self, reads: ReadFiles, fileset: BlockwiseFileset) -> None:
        """Take back the blocks of this run if what they were made of has changed meanwhile."""
        if not self._outcome.done or not (changed := reads.changed()):
            return
        self._outcome.changed = changed
        for task in self._outcome.done:
            fileset.set_block_status(task.block.start, available=False)

    def _list_tasks(self, fileset: BlockwiseFileset) -> None:
        for index, block in enumerate(fileset.block_rois()):
            self._outcome.blocks += 1
            if is_done(fileset, block.start, self._work.name):
                self._outcome.skipped += 1
            elif (writer := writer_of(fileset, block.start)) is not None:
                self._outcome.locked.append(f"block {block} is being written by {writer}")
            else:
                self._waiting.append(ClusterTask(f"J{index:02}", block))

    def _step(self, fileset: BlockwiseFileset) -> None:
        while self._waiting and len(self._running) < self._at_once:
            self._running.append(launch(self._config, self._job_file, self._waiting.popleft()))
        status_due = time.monotonic() - self._last_status_s >= _STATUS_S
        if status_due:
            self._last_status_s = time.monotonic()
        for attempt in list(self._running):
            verdict = self._verdict(attempt, fileset, status_due)
            if verdict is not None:
                self._running.remove(attempt)
                self._end_attempt(attempt.task, verdict)
        time.sleep(_POLL_S)

    def _verdict(self, attempt: Attempt, fileset: BlockwiseFileset, status_due: bool) -> str | None:
        """None while the attempt runs, "" if its block is finished, else the reason of its failure."""
        code = attempt.process.poll()
        timeout_s = self._config.task_timeout_secs
        waits = code is None or (code == 0 and self._detached)
        if waits and timeout_s is not None and attempt.seconds > timeout_s:
            attempt.end()
            return f"took longer than task_timeout_secs, {timeout_s} s"
        if code is None or (waits and not status_due):
            return None
        if is_done(fileset, attempt.task.block.start, self._work.name):
            return ""
        if waits:
            return None
        return _reason_of(code)

    def _end_attempt(self, task: ClusterTask, reason: str) -> None:
        task.reason = reason
        if not reason:
            self._outcome.done.append(task)
            return
        retry = task.attempts <= self._retries
        (self._waiting if retry else self._outcome.failed).append(task)
        log = log_of(self._config, task)
        self._say(
            f"task {task.name}, block {task.block}, attempt {task.attempts}: {reason}; "
            f"{'trying again' if retry else 'given up'}; see {log}"
        )


def _reason_of(code: int) -> str:
    if code == 0:
        return (
            "its command ended well, but the block is not available; a command that returns before its task "
            "has ended needs --detached"
        )
    return f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"


def _make_folder(config: ClusterConfig) -> None:
    try:
        Path(config.output_log_directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{config.path}: output_log_directory: can't be made: {error}") from error
