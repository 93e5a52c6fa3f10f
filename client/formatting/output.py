"""The output of verbs: data on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO


class StdoutFailed(Exception):
    """Output can't be printed any more; not an OSError, so that no file is blamed for it.

    Parameters
    ----------
    error : OSError
        Of the system, at the first line that could not be printed.

    Attributes
    ----------
    reader_ended : bool
        True if a pipe has lost its reader, as ``blockmill ls | head`` does.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"stdout can't be written: {error.strerror or error}")
        self.reader_ended = isinstance(error, BrokenPipeError)


def complain(text: str) -> None:
    """Print a line on stderr: stdout is for data. If stderr can't be written, there is nobody to tell."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        give_up(sys.stderr)


def say(text: str) -> None:
    """Print a line on stdout.

    Raises
    ------
    StdoutFailed
        If the system refuses; all that is printed later vanishes.
    """
    try:
        print(text, flush=True)
    except UnicodeEncodeError:  # names that are no text, or a terminal without such letters
        encoding = sys.stdout.encoding
        say(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        give_up(sys.stdout)
        raise StdoutFailed(error) from error


def give_up(stream: TextIO) -> None:
    """Let vanish what a stream still holds, and all that is printed on it later: it is closed or full."""
    try:
        number = stream.fileno()
    except ValueError:  # no stream of the system's, as in tests
        return
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(null, number)
    finally:
        os.close(null)


def say_json(**content: Any) -> None:
    """Print one JSON document."""
    from .document import document  # late: the command's help needs none

    say(document(**content))


def on_terminal() -> bool:
    """True if stdout is a terminal; not if the shell has closed it."""
    return sys.stdout is not None and sys.stdout.isatty()


def use_colour() -> bool:
    """Test if output is coloured: BLOCKMILL_COLOR says so, or stdout is a terminal without NO_COLOR."""
    setting = os.environ.get("BLOCKMILL_COLOR", "auto")
    if setting != "auto":
        return setting == "always"
    return on_terminal() and not os.environ.get("NO_COLOR")
