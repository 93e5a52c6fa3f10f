"""How a run shows itself: a live bar on a terminal, else a plain line every ten percent."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from ...shared.units import format_duration, format_rate


class Display(Protocol):
    """Shows the progress of a run, given in blocks and bytes since it began."""

    def start(self, blocks: int, done: int) -> None: ...
    def update(self, blocks: int, nbytes: int) -> None: ...
    def note(self, text: str) -> None: ...
    def stop(self) -> None: ...


def display_for(stream: TextIO, quiet: bool) -> Display:
    """The display that fits `stream`."""
    if quiet:
        return Silent()
    return Bar() if stream.isatty() else Lines(stream)


class Silent:
    """Nothing but notices, on stderr."""

    def start(self, blocks: int, done: int) -> None:
        """Nothing to show."""

    def update(self, blocks: int, nbytes: int) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        """One line on stderr."""
        print(text, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Nothing to end."""


class Lines(Silent):
    """A plain line every ten percent, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._blocks = 0
        self._before = 0
        self._tenth = 0
        self._started_s = 0.0

    def start(self, blocks: int, done: int) -> None:
        """Begin; `done` blocks are known as finished from the start."""
        self._blocks, self._before, self._started_s = blocks, done, time.monotonic()
        self._tenth = 10 * done // blocks

    def update(self, blocks: int, nbytes: int) -> None:
        """Print where another tenth is complete."""
        done = self._before + blocks
        tenth = 10 * done // self._blocks
        if tenth > self._tenth:
            self._tenth = tenth
            seconds = time.monotonic() - self._started_s
            left_s = seconds / max(blocks, 1) * (self._blocks - done)
            print(
                f"{10 * tenth:3d} %  {done}/{self._blocks} blocks  "
                f"{format_rate(nbytes, seconds)}  {format_duration(left_s)} left",
                file=self._stream,
                flush=True,
            )


class Bar(Silent):
    """A live bar on a terminal."""

    def start(self, blocks: int, done: int) -> None:
        """Show the bar; `done` blocks are known as finished from the start."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._before = done
        self._started_s = time.monotonic()
        self._bar = RichProgress(
            TextColumn("{task.percentage:3.0f} %"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("blocks  {task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("", total=blocks, completed=done, rate="")
        self._bar.start()

    def update(self, blocks: int, nbytes: int) -> None:
        """Move the bar."""
        rate = format_rate(nbytes, time.monotonic() - self._started_s)
        self._bar.update(self._task, completed=self._before + blocks, rate=rate)

    def note(self, text: str) -> None:
        """Print above the bar."""
        if hasattr(self, "_bar"):
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            super().note(text)

    def stop(self) -> None:
        """Leave the bar as it stands."""
        if hasattr(self, "_bar"):
            self._bar.stop()
