"""Job files that are arguments of verbs."""

from __future__ import annotations

import sys

from ...shared.errors import BlockmillError
from ...shared.jobs.job import Job, load_job, message_with_position
from ..formatting.exit_codes import exit_code_of
from ..formatting.output import complain


def read_job(path: str) -> Job:
    """Read the job in a file; "-" is stdin, which counts as empty if the shell has closed it."""
    if path != "-":
        return load_job(path)
    return load_job(path, sys.stdin.read() if sys.stdin is not None else "")


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
