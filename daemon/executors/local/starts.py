"""How workers start: at what pace after failures, and when a start that leads nowhere is given up."""

from __future__ import annotations

from dataclasses import dataclass

from ....shared.errors import EngineError
from ....shared.units import format_duration

FIRST_UP_S = 120.0
"""Longest time until the first worker is up: a slow file system has so long to read the libraries."""
START_PROCESSOR_S = 8.0
"""A start that has used the processor for so long goes round in circles: it takes 1 or 2 s."""
_FAILURES_ALLOWED = 5
_IDLE_DEATHS_ALLOWED = 5
_LONGEST_BACK_OFF_S = 5.0


@dataclass(slots=True)
class Starts:
    """Limits how fast replacements follow each other, and how long the first worker may take.

    Attributes
    ----------
    failed : int
        Workers that ended before they were up, one after the other.
    idle_deaths : int
        Of workers that had done nothing, one after the other.
    not_before_s : float
        When the next worker may be started.
    last_log : str
        What the last one that failed said.
    began_s : float or None
        When the first worker was asked for; None before, and once a worker has been up.
    """

    failed: int = 0
    idle_deaths: int = 0
    not_before_s: float = 0.0
    last_log: str = ""
    began_s: float | None = None

    def note_death(self, *, was_up: bool, tasks: int, now_s: float, log: str) -> None:
        """Note the end of a worker that was not asked to end.

        Parameters
        ----------
        was_up : bool
        tasks : int
            Number of tasks that it had done.
        now_s : float
        log : str
            The last lines that it printed.
        """
        self.failed = 0 if was_up else self.failed + 1
        self.idle_deaths = 0 if tasks else self.idle_deaths + 1
        self.last_log = log
        steps = max(self.failed, self.idle_deaths - _IDLE_DEATHS_ALLOWED)
        if steps > 0:
            self.not_before_s = now_s + min(0.1 * 2**steps, _LONGEST_BACK_OFF_S)

    def check_failures(self) -> None:
        """Raise `EngineError` if too many workers in a row ended before they were up."""
        if self.failed >= _FAILURES_ALLOWED:
            raise EngineError(
                f"{self.failed} workers in a row ended before they were up; "
                f"the last one said:\n{self.last_log or '(nothing)'}"
            )

    def check_first(self, now_s: float, used_s: float, log: str) -> None:
        """Check that the start of the first worker leads somewhere.

        Parameters
        ----------
        now_s : float
        used_s : float
            Processor time that the nursery, or the worker that has used most, has taken so far.
        log : str
            What they have printed.

        Raises
        ------
        EngineError
            If it takes too long.
        """
        if self.began_s is None:
            return
        waited_s = now_s - self.began_s
        if waited_s > FIRST_UP_S or used_s > START_PROCESSOR_S:
            raise EngineError(
                f"no worker was up after {format_duration(waited_s)} ({format_duration(used_s)} of "
                "processor time): is there enough memory and address space (ulimit -v)? "
                f"What was printed meanwhile:\n{log or '(nothing)'}"
            )
