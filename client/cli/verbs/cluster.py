"""The verbs of cluster runs: their options, and where each is carried out.

What a verb needs is imported when it runs.
"""

from __future__ import annotations

import sys

import click


@click.group()
def cluster() -> None:
    """Blocks done by commands of their own: here, by ssh, or by a queueing system."""


@cluster.command("run")
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
def cluster_run(config: str, job_file: str, at_once: int | None, retries: int | None, detached: bool) -> None:
    """Have every block of the job's output done that is not, each by the command that CONFIG names."""
    from ...cluster import verbs

    sys.exit(verbs.run(config, job_file, at_once, retries, detached))


@cluster.command("block")
@click.argument("config")
@click.argument("job_file", metavar="JOB.yaml")
@click.option("--roi", required=True, metavar="TEXT", help="'SubRegion:SubRegion(None, [0, 0], [64, 64])'")
def cluster_block(config: str, job_file: str, roi: str) -> None:
    """Do one block; what each task of `cluster run` does."""
    from ...cluster import verbs

    sys.exit(verbs.block(config, job_file, roi))


def register(group: click.Group) -> None:
    """Add these verbs to the command."""
    group.add_command(cluster)
