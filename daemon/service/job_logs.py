"""The logs of all jobs: lines gathered during a turn, written at its end."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ...shared.errors import StorageError
from ...shared.messages.records import LogLine
from ..journal.job_log import JobLog
from .logging_setup import about

_log = logging.getLogger(__name__)


class JobLogs:
    """One log a job, in the state folder.

    Parameters
    ----------
    folder : Path
        The folder of all jobs; each has its own in it, named by its number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: dict[int, JobLog] = {}
        self._lines: dict[int, list[LogLine]] = {}

    def say(self, number: int, text: str) -> None:
        """Add a line of the service's own to the log of a job."""
        self.add(number, LogLine(time_s=time.time(), text=text))

    def add(self, number: int, line: LogLine) -> None:
        """Add a line to the log of a job; it is written at the next `write`."""
        self._lines.setdefault(number, []).append(line)

    def of(self, number: int) -> JobLog:
        """The log of a job, as far as it is written."""
        if number not in self._logs:
            self._logs[number] = JobLog(self._folder / str(number))
        return self._logs[number]

    def remove(self, number: int) -> None:
        """Remove the log of a job that is forgotten."""
        self.of(number).remove()
        del self._logs[number]

    def write(self) -> None:
        """Write the gathered lines; a log that can't be written costs its lines and is reported."""
        for number, lines in self._lines.items():
            _report(number, lines)
            try:
                self.of(number).append(lines)
            except StorageError as error:
                _log.error("job %d: lines of its log are lost: %s", number, error)
        self._lines.clear()


def _report(number: int, lines: list[LogLine]) -> None:
    """Repeat in the service's own log what happens to a job, except what its operation prints."""
    for line in lines:
        if line.kind != "printed":
            _log.info("%s", line.text, extra=about(number, line.block or (), line.worker))
