"""The exit codes of the command line, on which scripts rely; 0 is fine, 2 wrong usage (click's)."""

from ...shared.errors import (
    BlockmillError,
    ConfigError,
    JobError,
    NoSuchJob,
    OutputRefused,
    Refused,
    ServiceUnreachable,
    WaitTimeout,
)

FAILED = 1
"""The job failed, was cancelled, or finished with failed blocks."""
NO_SUCH_JOB = 3
UNREACHABLE = 4
"""No service answers."""
BAD_FILE = 5
"""A job or configuration file is wrong, or a file that it names."""
REFUSED = 6
TIMEOUT = 7
"""The time that `wait` was given is over."""
INTERRUPTED = 130
"""Ctrl-C."""

_OF_ERRORS: tuple[tuple[type[BlockmillError], int], ...] = (
    (NoSuchJob, NO_SUCH_JOB),
    (ServiceUnreachable, UNREACHABLE),
    (OutputRefused, REFUSED),
    (JobError, BAD_FILE),
    (ConfigError, BAD_FILE),
    (Refused, REFUSED),
    (WaitTimeout, TIMEOUT),
)


def exit_code_of(error: BlockmillError) -> int:
    """Return the exit code of a command that ends with this error."""
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), FAILED)
