"""``blockmill cluster``: blocks done by commands of their own, here or on a cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ....shared.errors import BlockmillError
from ...formatting.exit_codes import FAILED, INTERRUPTED
from ...formatting.interrupt import Interrupt
from ...formatting.output import complain, say
from ..groups import JOBS, group

if TYPE_CHECKING:
    from ....shared.lazyflow.clusterconfig import ClusterConfig
    from ...cluster.master import ClusterOutcome
    from ...cluster.output import ClusterJob

_ELSEWHERE_AT_ONCE = 16


@group(JOBS, short_help="Have blocks done by commands: here, by ssh, or by a queue.")
def command() -> None:
    """Blocks done by commands of their own: here, by ssh, or by a queueing system."""


@command.command("run")
@click.argument("config")
@click.argument("job_file", metavar="JOB.yaml")
@click.option(
    "-n",
    "--at-once",
    type=click.IntRange(min=1),
    help="Most tasks at a time; default: as processors allow here, 16 elsewhere.",
)
@click.option("--retries", type=click.IntRange(min=0), help="Further attempts; default: as the job says.")
@click.option("--detached", is_flag=True, help="Commands return before their tasks end: look at the blocks.")
def run(config: str, job_file: str, at_once: int | None, retries: int | None, detached: bool) -> int:
    """Have every block of the job's output done that is not, each by the command that CONFIG names."""
    from ..job_files import complain_of

    with Interrupt() as interrupt:
        try:
            return _run(config, job_file, at_once, retries, detached, interrupt)
        except KeyboardInterrupt:
            complain("interrupted; finished blocks are kept. To go on, give the same command again")
            return INTERRUPTED
        except BlockmillError as error:
            return complain_of(job_file, error)


def _run(
    config_file: str,
    job_file: str,
    at_once: int | None,
    retries: int | None,
    detached: bool,
    interrupt: Interrupt,
) -> int:
    from ....shared.jobs.job_file import load_job
    from ....shared.lazyflow.clusterconfig import read_cluster_config
    from ...cluster.master import Master
    from ...cluster.output import ClusterJob

    config = read_cluster_config(config_file)
    for note in config.notes:
        complain(f"note: {note}")
    work = ClusterJob.of(load_job(job_file))
    master = Master(
        config,
        work,
        os.path.abspath(job_file),  # noqa: PTH100
        at_once=at_once or _default_at_once(config),
        retries=work.job.retries if retries is None else retries,
        detached=detached,
        say=complain,
        interrupted=interrupt.came,
    )
    return _say_outcome(master.run(), work)


def _default_at_once(config: ClusterConfig) -> int:
    if not config.is_local:
        return _ELSEWHERE_AT_ONCE
    return max(1, len(os.sched_getaffinity(0)) // config.workers)


def _say_outcome(outcome: ClusterOutcome, work: ClusterJob) -> int:
    for line in outcome.locked:
        complain(f"left out: {line}")
    for task in outcome.failed:
        complain(f"failed: task {task.name}, block {task.block}: {task.reason}")
    if outcome.changed:
        complain(
            f"failed: {outcome.changed} changed while this job ran, so blocks may be made of both; those of "
            "this run are not available any more. Give the same command again to do them anew"
        )
    finished = outcome.skipped + (0 if outcome.changed else len(outcome.done))
    word = "done" if outcome.complete else "not done"
    skipped = f" ({outcome.skipped} found finished)" if outcome.skipped else ""
    say(f"{word}: {finished} of {outcome.blocks} blocks{skipped} -> {os.path.relpath(work.output)}")
    return 0 if outcome.complete else FAILED


@command.command("block")
@click.argument("config")
@click.argument("job_file", metavar="JOB.yaml")
@click.option("--roi", required=True, metavar="TEXT", help="'SubRegion:SubRegion(None, [0, 0], [64, 64])'")
def block(config: str, job_file: str, roi: str) -> int:
    """Do one block; what each task of `cluster run` does."""
    from ....shared.jobs.job_file import load_job
    from ....shared.lazyflow.clusterconfig import read_cluster_config
    from ....shared.lazyflow.roistrings import parse_subregion
    from ...cluster.node import do_block
    from ...cluster.output import ClusterJob
    from ..job_files import complain_of

    try:
        done = do_block(read_cluster_config(config), ClusterJob.of(load_job(job_file)), parse_subregion(roi))
    except BlockmillError as error:
        return complain_of(job_file, error)
    say("done" if done else "the block was done before")
    return 0
