"""Runs a command of the user with the progress of a task, while the task goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Self

_PATIENCE_S = 30.0


class ProgressCommand:
    """Runs a shell command for each new percentage, one at a time, in a thread of its own.

    Percentages that are overtaken while a command runs are left out, except the last one. If a command
    fails, a line on stderr says so, and the task goes on.

    Parameters
    ----------
    template : str or None
        With ``{progress}``; None does nothing.
    """

    def __init__(self, template: str | None) -> None:
        self._template = template
        self._latest: int | None = None
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="progress command", daemon=True)

    def tell(self, percent: int) -> None:
        """Run the command with this percentage in the thread; returns at once."""
        with self._news:
            self._latest = percent
            self._news.notify()

    def __enter__(self) -> Self:
        if self._template is not None:
            self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._news:
            self._ended = True
            self._news.notify()
        if self._template is not None:
            self._thread.join(2 * _PATIENCE_S)

    def _run(self) -> None:
        reported = None
        while (percent := self._next(reported)) is not None:
            self._run_once(percent)
            reported = percent

    def _next(self, reported: int | None) -> int | None:
        with self._news:
            self._news.wait_for(lambda: self._ended or self._latest not in (None, reported))
            return self._latest if self._latest != reported else None

    def _run_once(self, percent: int) -> None:
        command = str(self._template).format(progress=percent)
        try:
            code = subprocess.run(  # noqa: S602 - the user's own command, for a shell as it always was
                command, shell=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE_S, check=False
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            code = error
        if code != 0:
            print(f"task_progress_update_command: {command!r} failed: {code}", file=sys.stderr, flush=True)
