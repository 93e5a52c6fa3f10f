"""Job files as verbs are given them."""

from __future__ import annotations

import sys

from ...shared.errors import BlockmillError
from ...shared.jobs.job import Job, load_job, message_with_position
from ..formatting.exit_codes import exit_code_of
from ..formatting.output import complain


def read_job(path: str) -> Job:
    """The job in a file; "-" is stdin, in which nothing comes where the shell has closed it."""
    if path != "-":
        return load_job(path)
    return load_job(path, sys.stdin.read() if sys.stdin is not None else "")


def complain_of(path: str, error: BlockmillError) -> int:
    """Say what is wrong with the job in this file; the exit code for that."""
    complain(f"blockmill: {message_with_position(path, str(error))}")
    return exit_code_of(error)
