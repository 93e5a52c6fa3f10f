"""Job files that are arguments of verbs."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from ...shared.errors import BlockmillError
from ...shared.jobs.job_file import load_job, message_with_position
from ...shared.jobs.staged import AnyJob
from ..formatting.exit_codes import exit_code_of
from ..formatting.output import complain


def read_job(path: str) -> AnyJob:
    """Read the job in a file; "-" is stdin, which counts as empty if the shell has closed it."""
    if path != "-":
        return load_job(path)
    return load_job(path, sys.stdin.read() if sys.stdin is not None else "")


def read_jobs(paths: Iterable[str]) -> tuple[list[tuple[str, AnyJob]], int]:
    """Read several job files, and print what is wrong with them.

    Returns
    -------
    list of (str, Job or StagedJob), int
        Those that could be read with their paths, and the exit code for the first one that could not, or 0.
    """
    jobs, first_code = [], 0
    for path in paths:
        try:
            jobs.append((path, read_job(path)))
        except BlockmillError as error:
            code = complain_of(path, error)
            first_code = first_code or code
    return jobs, first_code


def complain_of(path: str, error: BlockmillError) -> int:
    """Print what is wrong with a job.

    Parameters
    ----------
    path : str
        Of the job file; put before messages that name no file.
    error : BlockmillError

    Returns
    -------
    int
        Exit code for this error.
    """
    complain(f"blockmill: {message_with_position(path, str(error))}")
    return exit_code_of(error)
