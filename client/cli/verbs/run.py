"""``blockmill run``: job files on an engine of their own, one after the other."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from ...formatting.exit_codes import INTERRUPTED
from ...formatting.output import complain
from .. import options
from ..groups import JOBS, verb

if TYPE_CHECKING:
    from ..running import RunOptions


@verb(JOBS, short_help="Run job files here and now, one after the other.")
@options.job_files
@options.running
@click.option("--keep-going", is_flag=True, help="Run the other job files, too, after one that failed.")
def command(job_files: tuple[str, ...], keep_going: bool, run_options: RunOptions) -> int:
    """Run job files here and now, one after the other ("-" reads one from stdin).

    Run them again after an interruption and they go on where they stopped: finished blocks
    are checked by size and checksum and left alone. The exit code is that of the first job that failed.
    """
    from ..job_files import read_jobs
    from ..running import run_job

    jobs, first_code = read_jobs(job_files)
    if first_code and not keep_going:
        if jobs:
            complain("nothing was run; --keep-going runs the job files that are right")
        return first_code
    for index, (path, job) in enumerate(jobs):
        left = [path for path, _ in jobs[index:]]
        again = "the same command" if "-" in left else shlex.join(["blockmill", "run", *left])
        code = run_job(job, path, run_options, again)
        if code == INTERRUPTED:
            return code
        first_code = first_code or code
        if code and not keep_going and left[1:]:
            complain(f"not run, because {path} failed: {shlex.join(left[1:])} (--keep-going runs them, too)")
            break
    return first_code
