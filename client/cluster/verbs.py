"""The verbs ``cluster run`` and ``cluster block``, as a person or a queueing system gives them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...shared.errors import BlockmillError
from ...shared.jobs.job import load_job, told_with_place
from ...shared.lazyflow.clusterconfig import ClusterConfig, read_cluster_config
from ...shared.lazyflow.roistrings import parse_subregion
from ..formatting import exit_codes as exitcodes
from ..formatting.interrupt import Interrupt
from .master import Master, Outcome
from .output import ClusterJob

_ELSEWHERE_AT_ONCE = 16


def run(config_file: str, job_file: str, at_once: int | None, retries: int | None, detached: bool) -> int:
    """Have every block done that is not; the exit code of the command."""
    with Interrupt() as interrupt:
        try:
            config = read_cluster_config(config_file)
            for note in config.notes:
                _say(f"note: {note}")
            work = ClusterJob.of(load_job(job_file))
            master = Master(
                config,
                work,
                os.path.abspath(job_file),  # noqa: PTH100
                at_once=at_once or _default_at_once(config),
                retries=work.job.retries if retries is None else retries,
                detached=detached,
                say=_say,
                interrupted=interrupt.came,
            )
            return _report(master.run(), work)
        except KeyboardInterrupt:
            _say("interrupted; finished blocks are kept. To go on, give the same command again")
            return exitcodes.INTERRUPTED
        except BlockmillError as error:
            return _told(job_file, error)


def _default_at_once(config: ClusterConfig) -> int:
    if not config.is_local:
        return _ELSEWHERE_AT_ONCE
    return max(1, len(os.sched_getaffinity(0)) // config.workers)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _told(job_file: str, error: BlockmillError) -> int:
    _say(f"blockmill: {told_with_place(job_file, str(error))}")
    return exitcodes.exit_code_of(error)


def _report(outcome: Outcome, work: ClusterJob) -> int:
    for line in outcome.locked:
        _say(f"left out: {line}")
    for task in outcome.failed:
        _say(f"failed: task {task.name}, block {task.block}: {task.reason}")
    finished = outcome.found + len(outcome.done)
    word = "done" if outcome.complete else "not done"
    found = f" ({outcome.found} found finished)" if outcome.found else ""
    print(f"{word}: {finished} of {outcome.blocks} blocks{found} -> {os.path.relpath(work.output)}")
    return 0 if outcome.complete else exitcodes.FAILED


def block(config_file: str, job_file: str, roi: str) -> int:
    """Do one block, as a task of `run` is told to; the exit code of the command."""
    from .node import do_block

    try:
        config = read_cluster_config(config_file)
        work = ClusterJob.of(load_job(Path(job_file)))
        done = do_block(config, work, parse_subregion(roi))
    except BlockmillError as error:
        return _told(job_file, error)
    print("done" if done else "the block was done before")
    return 0
