"""The runs that are active, a runner each; what is asked of a job that does not run is passed over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ...shared.errors import BlockmillError
from ...shared.outside_text import message_of
from ..engine.engine import Engine
from ..journal.journal import Journal
from ..journal.records import JobRecord
from .access import Rights
from .jobs.job_table import JobTable
from .runner import Ending, Runner, sweep_output


class ActiveRuns:
    """The runners by the numbers of their jobs; all methods belong to the service's thread.

    Parameters
    ----------
    table : JobTable
        Gets the progress of the runs.
    journal : Journal
    send : callable
        Takes the news of runs, as the mailbox does.
    """

    def __init__(self, table: JobTable, journal: Journal, send: Callable[..., object]) -> None:
        self._table = table
        self._journal = journal
        self._send = send
        self._runners: dict[int, Runner] = {}

    def __bool__(self) -> bool:
        return bool(self._runners)

    def start(self, job_record: JobRecord, engine: Engine, rights: Rights) -> None:
        """Start the run of a job.

        Parameters
        ----------
        job_record : JobRecord
        engine : Engine
        rights : Rights
        """
        runner = Runner(job_record, engine, self._journal, rights, self._send)
        self._runners[job_record.info.id] = runner
        runner.start()

    def remove(self, number: int) -> None:
        """Forget a run that is over."""
        del self._runners[number]

    def pause(self, number: int, paused: bool) -> None:
        """Start no more blocks of a job, or some again."""
        if number in self._runners:
            self._runners[number].pause(paused)

    def set_priority(self, number: int, priority: int) -> None:
        """Change the priority of a job's blocks."""
        if number in self._runners:
            self._runners[number].set_priority(priority)

    def cut_short(self, number: int, ending: Ending, *, now: bool = False) -> None:
        """End a run early.

        Parameters
        ----------
        number : int
        ending : Ending
        now : bool
            Kill the workers of its blocks at once.
        """
        if number in self._runners:
            self._runners[number].cut_short(ending, now=now)

    def cut_all_short(self, ending: Ending) -> None:
        """End all runs early."""
        for runner in self._runners.values():
            runner.cut_short(ending)

    def count_all(self) -> None:
        """Copy the totals of all runs to the table of jobs."""
        for number in self._runners:
            self.count(number)

    def count(self, number: int) -> None:
        """Copy the totals of a run to the table of jobs, once it has taken its output."""
        runner = self._runners[number]
        if not runner.planned:
            return
        totals, seconds = runner.progress, time.monotonic() - runner.started_s
        computed = totals.blocks - totals.skipped
        remaining = runner.blocks - totals.blocks - totals.failed
        self._table.progress(
            number,
            done=totals.blocks + runner.finished_before,
            skipped=totals.skipped + runner.finished_before,
            failed=totals.failed,
            running=totals.running,
            retries=totals.retries,
            voxels=totals.voxels,
            bytes_read=totals.bytes_read,
            bytes_written=totals.bytes_written,
            seconds=round(seconds, 1),
            eta_s=round(seconds / computed * remaining, 1) if computed else None,
        )


def start_sweep(job_record: JobRecord, rights: Rights, done: Callable[[str], object]) -> None:
    """Remove the leftovers of a run that was killed and will not go on, in a thread because it may take long.

    Parameters
    ----------
    job_record : JobRecord
    rights : Rights
    done : callable
        Called in the thread at the end, with the reason if something could not be removed, else empty.
    """

    def sweep() -> None:
        try:
            sweep_output(job_record, rights)
            trouble = ""
        except (BlockmillError, OSError) as error:
            trouble = message_of(error)
        done(trouble)

    threading.Thread(target=sweep, name=f"sweep-{job_record.info.id}", daemon=True).start()
