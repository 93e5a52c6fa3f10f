# Made by tools/unasync.py from async_client.py: change that file, then run `make unasync`.
"""The service from Python, for threads; `AsyncClient` is the same for asyncio."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ...shared.errors import WaitTimeout
from ...shared.messages import service as p
from ...shared.messages.records import BlockFailure, JobInfo, LogLine, State, WorkerInfo
from . import requests
from .caller import Caller
from .references import JobFilter, JobReference, JobReferences, chosen, number_of

if TYPE_CHECKING:
    from ...shared.jobs.staged import AnyJob


class Client(Caller):
    """A client of the service that listens at `socket`.

    Where a method takes a job, that is its number, its name, or its `JobInfo`. A name means your own jobs of
    that name, or those of others if there is none. Methods that look take the newest of them that has not
    ended, else the newest; methods that change something refuse a name that several jobs have to
    which they apply.

    Threads may share one; each request that runs has a connection of its own. Nothing is connected before
    the first request.

    Parameters
    ----------
    socket : path or str, optional
        A unix socket, or ``tcp://host:port``; see `endpoint_of`. Default: ``$BLOCKMILL_SOCKET``, else
        the user's own service, else that of the machine.
    timeout_s : float
        Longest wait for an answer, in seconds.

    Raises
    ------
    ServiceUnreachable
        From each method: if no service answers.
    TypeError
        From each method that takes a job: if it was given something else.
    NoSuchJob, Refused
        From each method: if the service knows no such job, or refuses the request.
    """

    # -- jobs -----------------------------------------------------------------------

    def submit(
        self,
        job: AnyJob | Mapping[str, Any] | str | Path,
        *,
        priority: int | None = None,
        label: str | None = None,
        after: int | str | Iterable[int | str] = (),
        overwrite: bool = False,
        keep_finished: bool = False,
        file: str | os.PathLike[str] | None = None,
    ) -> JobInfo:
        """Hand in a job; once this returns it is in the service's journal.

        Parameters
        ----------
        job : path, mapping or Job
            A job file, or its content (then paths are taken from the current folder).
        priority : int, optional
            Higher goes first. Default: the priority in the job.
        label : str, optional
            A label by which `jobs` finds jobs of a kind.
        after : int, str or several
            Numbers or names of jobs that must be done before.
        overwrite : bool
            Replace an output that exists.
        keep_finished : bool
            Keep finished blocks of the output, though the user's code has changed since.
        file : path, optional
            The job file that `job` was read from, for those who retry it later. Default: `job`, if
            it is a path.

        Returns
        -------
        JobInfo
            The job with its number.

        Raises
        ------
        JobError
            If the job is wrong.
        """
        request = requests.submit_request(job, priority, label, after, overwrite, keep_finished, file)
        return self.ask(request).job

    def jobs(self, *states: State, label: str | None = None, limit: int = 100) -> list[JobInfo]:
        """List jobs, active ones first.

        Parameters
        ----------
        *states : str
            Only jobs in these states. Default: all.
        label : str, optional
            Only jobs with this label.
        limit : int
            Largest number of ended jobs to list.

        Returns
        -------
        list of JobInfo
        """
        return list(self.ask(p.ListJobs(states=states, label=label, limit=limit)).jobs)

    def find(
        self, *, name: str | None = None, label: str | None = None, ended: bool | None = None
    ) -> list[JobInfo]:
        """List your own jobs of a name or with a label, in the order of their numbers.

        Parameters
        ----------
        name : str, optional
            If you have no job of this name, those of others are listed.
        label : str, optional
        ended : bool, optional
            Only jobs that have ended, or that have not.

        Returns
        -------
        list of JobInfo
        """
        return list(self.ask(p.FindJobs(name=name, label=label, ended=ended)).jobs)

    def _number(self, job: JobReference, job_filter: JobFilter = "all") -> int:
        if (number := number_of(job)) is not None:
            return number
        name = str(job)
        return chosen(name, self.find(name=name), job_filter).id

    def job(self, job: JobReference) -> JobInfo:
        """Return one job."""
        return self.ask(p.GetJob(id=self._number(job))).job

    def spec(self, job: JobReference) -> AnyJob:
        """Return the job as it was submitted, with all paths absolute."""
        from ...shared.jobs.job_file import job_of

        return job_of(self.ask(p.GetJob(id=self._number(job))).spec)

    @overload
    def wait(self, job: JobReference, *, timeout_s: float | None = None) -> JobInfo: ...

    @overload
    def wait(self, job: JobReferences, *, timeout_s: float | None = None) -> list[JobInfo]: ...

    def wait(
        self, job: JobReference | JobReferences, *, timeout_s: float | None = None
    ) -> JobInfo | list[JobInfo]:
        """Wait until a job has ended, or all of several; the service may be restarted meanwhile.

        Parameters
        ----------
        job : int, str, JobInfo, or a list of them
        timeout_s : float, optional
            Longest wait in seconds, for all of them. Default: for ever.

        Returns
        -------
        JobInfo, or list of JobInfo
            Each job in its last state.

        Raises
        ------
        WaitTimeout
            If one has not ended after `timeout_s` seconds.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        if isinstance(job, str) or not isinstance(job, Sequence):
            return self._wait_for(self._number(job), deadline_s, timeout_s)
        numbers = [self._number(one) for one in job]
        return [self._wait_for(number, deadline_s, timeout_s) for number in numbers]

    def _wait_for(self, number: int, deadline_s: float | None, timeout_s: float | None) -> JobInfo:
        seen = -1
        while True:
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            info = self.ask(requests.wait_request(number, seen, left_s), requests.PATIENCE_S).job
            if info.ended:
                return info
            if left_s is not None and left_s <= 0:
                raise WaitTimeout(f"job {number} is {info.state} after {timeout_s:g} s")
            seen = info.seen

    def watch(self, job: JobReference) -> Iterator[JobInfo]:
        """Yield a job as it is now, and again after each change, until it has ended."""
        number, seen = self._number(job), -1
        while True:
            info = self.ask(requests.wait_request(number, seen, None), requests.PATIENCE_S).job
            if info.seen != seen:
                yield info
            if info.ended:
                return
            seen = info.seen

    def failures(self, job: JobReference, *, limit: int = 1000) -> list[BlockFailure]:
        """List the blocks of a job that have failed for good, with the reasons.

        Parameters
        ----------
        job : int, str or JobInfo
        limit : int
            Largest number of blocks; the first ones are listed.

        Returns
        -------
        list of BlockFailure
        """
        return list(self.ask(p.ListFailures(id=self._number(job), limit=limit)).failures)

    def logs(
        self,
        job: JobReference,
        *,
        follow: bool = False,
        offset: int = 0,
    ) -> Iterator[LogLine]:
        """Read the lines of a job's log.

        Parameters
        ----------
        job : int, str or JobInfo
        follow : bool
            Wait for further lines until the job has ended.
        offset : int
            0 starts at the beginning of the log, -1 a little before its end.

        Yields
        ------
        LogLine
        """
        number, patience_s = self._number(job), requests.PATIENCE_S if follow else 0.0
        while True:
            log_part = self.ask(requests.log_request(number, offset, follow), patience_s)
            yield from log_part.lines
            if log_part.ended or not (log_part.lines or follow):
                return
            offset = log_part.next_offset

    def cancel(self, job: JobReference, *, now: bool = False) -> JobInfo:
        """End a job and its running blocks. `wait` returns when they have ended.

        Parameters
        ----------
        job : int, str or JobInfo
        now : bool
            Give the workers of running blocks no time to tidy up; what they leave is removed.

        Returns
        -------
        JobInfo
        """
        return self.ask(p.CancelJob(id=self._number(job, "active"), now=now)).job

    def retry(
        self,
        job: JobReference,
        *,
        failed_only: bool = False,
        keep_finished: bool = False,
        edited: AnyJob | Mapping[str, Any] | str | Path | None = None,
        file: str | os.PathLike[str] | None = None,
    ) -> JobInfo:
        """Queue an ended job again, for the blocks that are not finished.

        Parameters
        ----------
        job : int, str or JobInfo
        failed_only : bool
            Compute only the failed blocks. If others were never begun, the job ends as failed
            and reports why.
        keep_finished : bool
            Keep finished blocks, though the user's code has changed since.
        edited : path, mapping or Job, optional
            What to do from now on, with the same output: a job file or its content. Name, label,
            priority and predecessors of the job stay. Default: what was submitted.
        file : path, optional
            The job file that `edited` was read from. Default: `edited`, if it is a path.

        Returns
        -------
        JobInfo

        Raises
        ------
        JobError
            If the edited job is wrong.
        """
        number = self._number(job, "retryable")
        request = requests.retry_request(number, failed_only, keep_finished, edited, file)
        return self.ask(request).job

    def remove(self, *jobs: JobReference) -> list[JobInfo]:
        """Forget jobs that have ended, with their logs. Outputs stay, and no number is given again.

        Raises
        ------
        NoSuchJob, Refused
            If one of them has not ended, or is needed by a job that comes after it; none is removed then.
        """
        numbers = tuple([self._number(job, "ended") for job in jobs])
        return list(self.ask(p.RemoveJobs(ids=numbers)).jobs)

    def remove_ended(self, *, label: str | None = None) -> list[JobInfo]:
        """Forget all ended jobs of yours but those that another job needs; with `label`, those with it."""
        return list(self.ask(p.RemoveJobs(label=label)).jobs)

    def pause(self, *jobs: JobReference) -> list[JobInfo]:
        """Start no more blocks of these jobs. Without jobs: of all jobs, also of later ones."""
        numbers = tuple([self._number(job, "active") for job in jobs])
        return list(self.ask(p.PauseJobs(ids=numbers or None)).jobs)

    def resume(self, *jobs: JobReference) -> list[JobInfo]:
        """Undo `pause` for these jobs. Without jobs: for all jobs, and end a drain."""
        numbers = tuple([self._number(job, "active") for job in jobs])
        return list(self.ask(p.ResumeJobs(ids=numbers or None)).jobs)

    def set_priority(self, job: JobReference, priority: int) -> JobInfo:
        """Change which of the waiting jobs goes first.

        Parameters
        ----------
        job : int, str or JobInfo
        priority : int
            Higher goes first.

        Returns
        -------
        JobInfo
        """
        number = self._number(job, "active")
        return self.ask(p.SetPriority(id=number, priority=priority)).job

    # -- the service ----------------------------------------------------------------

    def service(self) -> p.ServiceInfo:
        """Return the state of the service itself."""
        return self.ask(p.GetService())

    def drain(self, *, wait: bool = False) -> p.ServiceInfo:
        """Let running blocks end and start no more, until `resume`.

        With `wait`, return once they have ended.
        """
        info = self.ask(p.Drain())
        while wait and info.draining and not info.quiet:
            time.sleep(requests.RETRY_S)
            info = self.service()
        return info

    def set_workers(self, count: int) -> p.ServiceInfo:
        """Set the number of worker processes. Surplus workers end between blocks."""
        return self.ask(p.SetWorkers(count=count))

    def workers(self) -> list[WorkerInfo]:
        """List the worker processes with their current tasks."""
        return list(self.ask(p.ListWorkers()).workers)
