"""Pausing jobs, one by one or all together, those that will be submitted included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ....shared.errors import Refused
from ...journal.records import JobRecord
from .dependencies import state_text
from .removal import RemovableJobs


class PausableJobs(RemovableJobs):
    """Jobs of which some, or all, are paused.

    Parameters
    ----------
    records : iterable of JobRecord
        The journaled jobs.
    last_id : int
        Largest number that was ever given.
    paused_all : str
        As in `JobInfo.paused_by`; empty: not all jobs are paused.
    """

    def __init__(self, records: Iterable[JobRecord] = (), *, last_id: int = 0, paused_all: str = "") -> None:
        super().__init__(records, last_id=last_id)
        self.paused_all = paused_all

    def _paused_with_all(self) -> dict[str, Any]:
        """Fields of a job that waits, if all jobs are paused."""
        return {"paused": True, "paused_by": self.paused_all} if self.paused_all else {}

    def pause(self, numbers: tuple[int, ...] | None, by: str) -> list[int]:
        """Start no more blocks of these jobs; None: of any job. Returns those of them that are active.

        Parameters
        ----------
        numbers : tuple of int or None
        by : str
            Name of the user who asks for it.

        Returns
        -------
        list of int

        Raises
        ------
        NoSuchJob, Refused
            If one is unknown or has ended; nothing has changed then.
        """
        if numbers is None:
            self.paused_all = f"all, by {by}"
        return self._set_paused(numbers, True)

    def resume(self, numbers: tuple[int, ...] | None) -> list[int]:
        """Undo `pause`. Returns the active ones of these jobs.

        Raises
        ------
        NoSuchJob, Refused
            As `pause`; also if all jobs are paused, and one of these would not begin.
        """
        if numbers is None:
            self.paused_all = ""
        waiting = [number for number in numbers or () if number not in self.active]
        if self.paused_all and waiting and not self.get(waiting[0]).info.ended:
            raise Refused(
                f"job {waiting[0]} can't begin: paused ({self.paused_all}); "
                "to undo that: blockmill resume --all"
            )
        return self._set_paused(numbers, False)

    def _set_paused(self, numbers: tuple[int, ...] | None, paused: bool) -> list[int]:
        selected = list(self._open if numbers is None else numbers)
        for number in selected:
            if (info := self.get(number).info).ended:
                raise Refused(f"job {number} has ended as {state_text(info.state)}")
        for number in selected:
            info = self._jobs[number].info
            by = self.paused_all if paused and numbers is None else info.paused_by if paused else ""
            if (info.paused, info.paused_by) != (paused, by):
                self._change(number, paused=paused, paused_by=by)
        return [number for number in selected if number in self.active]
