"""The exit codes of the command line, on which scripts rely; 0 is fine, 2 wrong usage (click's)."""

FAILED = 1
"""The job failed, was cancelled, or finished with failed blocks."""
BAD_FILE = 5
"""A job or configuration file, or what it names, is wrong."""
REFUSED = 6
INTERRUPTED = 130
"""Ctrl-C."""
