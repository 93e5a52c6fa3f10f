"""The logs of all jobs: lines are gathered during a turn and written at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Container
from pathlib import Path

from ...shared.errors import StorageError
from ...shared.messages.records import LogLine
from ..engine.handle import Notice
from ..journal.job_log import JobLog
from .logging_setup import about

_log = logging.getLogger(__name__)
_MOST_OPEN = 256


class JobLogs:
    """One log a job, in the state folder.

    Parameters
    ----------
    folder : Path
        The folder of all jobs; each job has a folder in it, named by its number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: dict[int, JobLog] = {}
        self._lines: dict[int, list[LogLine]] = {}

    def add_text(self, number: int, text: str) -> None:
        """Add a line that the service itself writes to the log of a job.

        Parameters
        ----------
        number : int
            The job's number.
        text : str
        """
        self.add(number, LogLine(time_s=time.time(), text=text))

    def add(self, number: int, line: LogLine) -> None:
        """Add a line to the log of a job; it is written at the next `write`.

        Parameters
        ----------
        number : int
            The job's number.
        line : LogLine
        """
        self._lines.setdefault(number, []).append(line)

    def add_notice(self, number: int, notice: Notice) -> None:
        """Add a notice of the engine to the log of a job.

        Parameters
        ----------
        number : int
            The job's number.
        notice : Notice
        """
        line = LogLine(
            time_s=time.time(),
            text=notice.text,
            kind=notice.kind,
            worker=notice.worker,
            block=notice.block,
            attempt=notice.attempt,
        )
        self.add(number, line)

    def of(self, number: int) -> JobLog:
        """The log of a job, without the lines that `write` has not yet written."""
        log = self._logs.pop(number, None) or JobLog(self._folder / str(number))
        self._logs[number] = log  # the last one used comes last
        if len(self._logs) > _MOST_OPEN:
            del self._logs[next(iter(self._logs))]
        return log

    def remove(self, number: int) -> None:
        """Remove the log of a job."""
        self._lines.pop(number, None)
        self.of(number).remove()
        del self._logs[number]

    def remove_unknown(self, known: Container[int], last_id: int) -> None:
        """Remove the logs of jobs that the journal has forgotten, where a killed service could not.

        Parameters
        ----------
        known : container of int
            Numbers of the jobs that there are.
        last_id : int
            Largest number that was ever given; what has a larger one belongs to another journal.
        """
        folders = self._folder.iterdir() if self._folder.is_dir() else ()
        for number in [int(path.name) for path in folders if path.name.isdecimal()]:
            if number <= last_id and number not in known:
                self.remove(number)

    def write(self) -> None:
        """Write the gathered lines. If a log can't be written its lines are lost, and that is reported."""
        for number, lines in self._lines.items():
            _report(number, lines)
            try:
                self.of(number).append(lines)
            except StorageError as error:
                _log.error("job %d: lines of its log are lost: %s", number, error)
        self._lines.clear()


def _report(number: int, lines: list[LogLine]) -> None:
    """Copy lines of a job to the service's own log, except the output of its operation."""
    for line in lines:
        if line.kind != "printed":
            _log.info("%s", line.text, extra=about(number, line.block or (), line.worker))
