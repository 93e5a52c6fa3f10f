"""The exit codes of the command line, on which scripts rely; 0 is fine, 2 wrong usage (click's)."""

from ...shared.errors import BlockmillError, ConfigError, JobError, NoSuchJob, OutputRefused, Refused
from ...shared.errors import ServiceUnreachable as Unreachable
from ...shared.errors import WaitTimeout as Timeout

FAILED = 1
"""The job failed, was cancelled, or finished with failed blocks."""
NO_SUCH_JOB = 3
UNREACHABLE = 4
"""No service answers."""
BAD_FILE = 5
"""A job or configuration file, or what it names, is wrong."""
REFUSED = 6
TIMEOUT = 7
"""`wait` was given a time, which is over."""
INTERRUPTED = 130
"""Ctrl-C."""

_OF_ERRORS: tuple[tuple[type[BlockmillError], int], ...] = (
    (NoSuchJob, NO_SUCH_JOB),
    (Unreachable, UNREACHABLE),
    (OutputRefused, REFUSED),
    (JobError, BAD_FILE),
    (ConfigError, BAD_FILE),
    (Refused, REFUSED),
    (Timeout, TIMEOUT),
)


def exit_code_of(error: BlockmillError) -> int:
    """The exit code of a command that this error ends."""
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), FAILED)
