"""Displays of the progress of a run: a live bar on a terminal, else a plain line every ten percent."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol, TextIO

from ...shared.units import format_duration, format_rate
from .output import complain, give_up


class Display(Protocol):
    """Shows the progress of a run, given in blocks and bytes since it began."""

    def start(self, blocks: int, done: int) -> None:
        """Begin.

        Parameters
        ----------
        blocks : int
            Number of all blocks.
        done : int
            Number of blocks that were finished before the run.
        """
        ...

    def update(self, blocks: int, nbytes: int) -> None:
        """Show the progress.

        Parameters
        ----------
        blocks : int
            Number of blocks finished in this run.
        nbytes : int
            Bytes written in this run.
        """
        ...

    def note(self, text: str) -> None:
        """Print a line beside the progress."""
        ...

    def stop(self) -> None:
        """End; the last state stays visible."""
        ...


def display_for(stream: TextIO | None, quiet: bool) -> Display:
    """Choose the display for a stream.

    Parameters
    ----------
    stream : file or None
        A terminal gets a bar, anything else lines; None, which the shell has closed, nothing.
    quiet : bool
        Show no progress at all.

    Returns
    -------
    Display
    """
    if quiet or stream is None:
        return Silent()
    return Bar() if stream.isatty() else Lines(stream)


class Silent:
    """Shows no progress; prints notes on stderr."""

    def start(self, blocks: int, done: int) -> None:
        """Do nothing.

        Parameters
        ----------
        blocks, done
            As for `Display.start`.
        """

    def update(self, blocks: int, nbytes: int) -> None:
        """Do nothing.

        Parameters
        ----------
        blocks, nbytes
            As for `Display.update`.
        """

    def note(self, text: str) -> None:
        """Print a line on stderr."""
        complain(text)

    def stop(self) -> None:
        """Do nothing."""


class Lines(Silent):
    """A plain line every ten percent, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._blocks = 0
        self._before = 0
        self._tenth = 0
        self._started_s = 0.0

    def start(self, blocks: int, done: int) -> None:
        """Begin.

        Parameters
        ----------
        blocks, done
            As for `Display.start`.
        """
        self._blocks, self._before, self._started_s = blocks, done, time.monotonic()
        self._tenth = 10 * done // blocks

    def update(self, blocks: int, nbytes: int) -> None:
        """Print a line if another tenth is complete.

        Parameters
        ----------
        blocks, nbytes
            As for `Display.update`.
        """
        done = self._before + blocks
        tenth = 10 * done // self._blocks
        if tenth > self._tenth:
            self._tenth = tenth
            seconds = time.monotonic() - self._started_s
            left_s = seconds / max(blocks, 1) * (self._blocks - done)
            rate, left = format_rate(nbytes, seconds), format_duration(left_s)
            self._print(f"{10 * tenth:3d} %  {done}/{self._blocks} blocks  {rate}  {left} left")

    def _print(self, line: str) -> None:
        try:
            print(line, file=self._stream, flush=True)
        except OSError:  # the work goes on, and nobody watches
            give_up(self._stream)


@contextlib.contextmanager
def _or_unseen() -> Iterator[None]:
    """Let the work go on without its bar where the terminal is gone."""
    try:
        yield
    except OSError:
        give_up(sys.stdout)


class Bar(Silent):
    """A live bar on a terminal."""

    def start(self, blocks: int, done: int) -> None:
        """Show the bar.

        Parameters
        ----------
        blocks, done
            As for `Display.start`.
        """
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._before = done
        self._started_s = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.percentage:3.0f} %"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("blocks  {task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("", total=blocks, completed=done, rate="")
        with _or_unseen():
            self._bar.start()

    def update(self, blocks: int, nbytes: int) -> None:
        """Move the bar.

        Parameters
        ----------
        blocks, nbytes
            As for `Display.update`.
        """
        rate = format_rate(nbytes, time.monotonic() - self._started_s)
        with _or_unseen():
            self._bar.update(self._task, completed=self._before + blocks, rate=rate)

    def note(self, text: str) -> None:
        """Print above the bar."""
        if hasattr(self, "_bar"):
            with _or_unseen():
                self._bar.console.print(text, markup=False, highlight=False)
        else:
            super().note(text)

    def stop(self) -> None:
        """Stop the bar; it stays visible."""
        if hasattr(self, "_bar"):
            with _or_unseen():
                self._bar.stop()
