"""The service from Python, for asyncio; `Client` is the same for threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...shared.errors import ServiceUnreachable, WaitTimeout
from ...shared.messages import service as p
from ...shared.messages.records import BlockFailure, JobInfo, LogLine, State, WorkerInfo
from . import requests
from .async_connection import AsyncConnection
from .endpoint import endpoint_of
from .exchange import may_repeat

if TYPE_CHECKING:
    from ...shared.jobs.job import Job


class AsyncClient:
    """A client of the service that listens at `socket`.

    Its methods are coroutines and asynchronous iterators.

    Tasks may share one; each request that runs has a connection of its own. Nothing is connected before
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
    NoSuchJob, Refused
        From each method: if the service knows no such job, or refuses the request.
    """

    def __init__(self, socket: str | os.PathLike[str] | None = None, *, timeout_s: float = 10.0) -> None:
        self._endpoint = endpoint_of(socket)
        self._timeout_s = timeout_s
        self._idle: list[AsyncConnection] = []

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    async def ask(self, request: p.Request[p.R], patience_s: float = 0.0) -> p.R:
        """Send any request of the protocol.

        Parameters
        ----------
        request : Request
            One of the messages in `blockmill.shared.messages.service`.
        patience_s : float
            Seconds for which the request is repeated while no service answers. A request that
            must not be repeated is sent once.

        Returns
        -------
        Struct
            The answer that belongs to the class of `request`.
        """
        deadline_s = time.monotonic() + patience_s
        timeout_s = self._timeout_s + requests.wait_of(request)
        while True:
            try:
                return await self._ask_once(request, timeout_s)
            except ServiceUnreachable:
                if time.monotonic() >= deadline_s or not may_repeat(request):
                    raise
            await asyncio.sleep(requests.RETRY_S)

    async def _ask_once(self, request: p.Request[p.R], timeout_s: float) -> p.R:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = AsyncConnection(self._endpoint)
        try:
            reply = await connection.ask(request, timeout_s)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return reply

    # -- jobs -----------------------------------------------------------------------

    async def submit(
        self,
        job: Job | Mapping[str, Any] | str | Path,
        *,
        priority: int | None = None,
        label: str | None = None,
        after: int | str | Iterable[int | str] = (),
        overwrite: bool = False,
        keep_finished: bool = False,
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

        Returns
        -------
        JobInfo
            The job with its number.

        Raises
        ------
        JobError
            If the job is wrong.
        """
        request = requests.submit_request(job, priority, label, after, overwrite, keep_finished)
        return (await self.ask(request)).job

    async def jobs(self, *states: State, label: str | None = None, limit: int = 100) -> list[JobInfo]:
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
        return list((await self.ask(p.ListJobs(states=states, label=label, limit=limit))).jobs)

    async def job(self, number: int) -> JobInfo:
        """Return one job."""
        return (await self.ask(p.GetJob(id=number))).job

    async def spec(self, number: int) -> Job:
        """Return the job as it was submitted, with all paths absolute."""
        from ...shared.jobs.job import Job

        return Job.of((await self.ask(p.GetJob(id=number))).spec)

    async def wait(self, number: int, *, timeout_s: float | None = None) -> JobInfo:
        """Wait until a job has ended; the service may be restarted meanwhile.

        Parameters
        ----------
        number : int
            The job's number.
        timeout_s : float, optional
            Longest wait in seconds. Default: for ever.

        Returns
        -------
        JobInfo
            The job in its last state.

        Raises
        ------
        WaitTimeout
            If it has not ended after `timeout_s` seconds.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        seen = -1
        while True:
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            info = (await self.ask(requests.wait_request(number, seen, left_s), requests.PATIENCE_S)).job
            if info.ended:
                return info
            if left_s is not None and left_s <= 0:
                raise WaitTimeout(f"job {number} is {info.state} after {timeout_s:g} s")
            seen = info.seen

    async def watch(self, number: int) -> AsyncIterator[JobInfo]:
        """Yield a job as it is now, and again after each change, until it has ended."""
        seen = -1
        while True:
            info = (await self.ask(requests.wait_request(number, seen, None), requests.PATIENCE_S)).job
            if info.seen != seen:
                yield info
            if info.ended:
                return
            seen = info.seen

    async def failures(self, number: int, *, limit: int = 1000) -> list[BlockFailure]:
        """List the blocks of a job that have failed for good, with the reasons.

        Parameters
        ----------
        number : int
            The job's number.
        limit : int
            Largest number of blocks; the first ones are listed.

        Returns
        -------
        list of BlockFailure
        """
        return list((await self.ask(p.ListFailures(id=number, limit=limit))).failures)

    async def logs(self, number: int, *, follow: bool = False, offset: int = 0) -> AsyncIterator[LogLine]:
        """Read the lines of a job's log.

        Parameters
        ----------
        number : int
            The job's number.
        follow : bool
            Wait for further lines until the job has ended.
        offset : int
            0 starts at the beginning of the log, -1 a little before its end.

        Yields
        ------
        LogLine
        """
        patience_s = requests.PATIENCE_S if follow else 0.0
        while True:
            log_part = await self.ask(requests.log_request(number, offset, follow), patience_s)
            for line in log_part.lines:
                yield line
            if log_part.ended or not (log_part.lines or follow):
                return
            offset = log_part.next_offset

    async def cancel(self, number: int, *, now: bool = False) -> JobInfo:
        """End a job and its running blocks. `wait` returns when they have ended.

        Parameters
        ----------
        number : int
            The job's number.
        now : bool
            Give the workers of running blocks no time to tidy up; what they leave is removed.

        Returns
        -------
        JobInfo
        """
        return (await self.ask(p.CancelJob(id=number, now=now))).job

    async def retry(self, number: int, *, failed_only: bool = False, keep_finished: bool = False) -> JobInfo:
        """Queue an ended job again, for the blocks that are not finished.

        Parameters
        ----------
        number : int
            The job's number.
        failed_only : bool
            Compute only the failed blocks. If others were never begun, the job ends as failed
            and reports why.
        keep_finished : bool
            Keep finished blocks, though the user's code has changed since.

        Returns
        -------
        JobInfo
        """
        request = p.RetryJob(id=number, failed_only=failed_only, keep_finished=keep_finished)
        return (await self.ask(request)).job

    async def pause(self, *numbers: int) -> list[JobInfo]:
        """Start no more blocks of these jobs. Without numbers: of all jobs, also of later ones."""
        return list((await self.ask(p.PauseJobs(ids=numbers or None))).jobs)

    async def resume(self, *numbers: int) -> list[JobInfo]:
        """Undo `pause` for these jobs. Without numbers: for all jobs, and end a drain."""
        return list((await self.ask(p.ResumeJobs(ids=numbers or None))).jobs)

    async def set_priority(self, number: int, priority: int) -> JobInfo:
        """Change which of the waiting jobs goes first.

        Parameters
        ----------
        number : int
            The job's number.
        priority : int
            Higher goes first.

        Returns
        -------
        JobInfo
        """
        return (await self.ask(p.SetPriority(id=number, priority=priority))).job

    # -- the service ----------------------------------------------------------------

    async def service(self) -> p.ServiceInfo:
        """Return the state of the service itself."""
        return await self.ask(p.GetService())

    async def drain(self, *, wait: bool = False) -> p.ServiceInfo:
        """Let running blocks end and start no more, until `resume`.

        With `wait`, return once they have ended.
        """
        info = await self.ask(p.Drain())
        while wait and info.draining and not info.quiet:
            await asyncio.sleep(requests.RETRY_S)
            info = await self.service()
        return info

    async def set_workers(self, count: int) -> p.ServiceInfo:
        """Set the number of worker processes. Surplus workers end between blocks."""
        return await self.ask(p.SetWorkers(count=count))

    async def workers(self) -> list[WorkerInfo]:
        """List the worker processes with their current tasks."""
        return list((await self.ask(p.ListWorkers())).workers)
