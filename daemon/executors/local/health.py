"""Periodic care of local workers: memory limits, recycling, pool size.

The supervisor knows processes, the outbox knows their tasks. This module looks at both: a worker is drained
before it is ended, and no more workers are to be busy than the memory of the machine allows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from ....shared.messages.engine import Lease
from ....shared.messages.records import WorkerInfo
from ....shared.units import format_size
from ..api import Capacity, News, Retiring, WorkerLimits
from ..outbox import Outbox
from ..slotted_job import SlottedJob
from .memory import MemoryGovernor, available_bytes, total_bytes
from .supervisor import Supervisor

_POLL_S = 0.5


class WorkerHealth:
    """Periodic care of the workers of one engine.

    Parameters
    ----------
    supervisor : Supervisor
    jobs : dict of str to SlottedJob
        The executor's jobs, by name.
    outbox : Outbox
        Knows the tasks of each worker.
    memory_bytes : int or None
        Memory limit of all workers together, in bytes.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        jobs: dict[str, SlottedJob],
        outbox: Outbox,
        memory_bytes: int | None,
    ) -> None:
        self._supervisor = supervisor
        self._jobs = jobs
        self._outbox = outbox
        self._allowed = supervisor.count
        self._governor = MemoryGovernor(budget_bytes=memory_bytes)
        self._total_bytes = total_bytes()
        self._news: deque[News] = deque()
        self._retiring: dict[int, str] = {}
        self._alone: dict[int, Lease] = {}
        self._since_s: dict[int, tuple[Lease, float]] = {}  # worker -> lease, time it was first seen
        self._next_poll_s = 0.0

    def news(self) -> Iterator[News]:
        """Yield what was decided about workers since the last call."""
        while self._news:
            yield self._news.popleft()

    def works_alone(self, worker: int, lease: Lease) -> None:
        """Note that a worker may take the memory of all for a block.

        Parameters
        ----------
        worker : int
        lease : Lease
        """
        self._alone[worker] = lease

    def set_limits(self, limits: WorkerLimits, memory_bytes: int | None) -> None:
        """Change the memory limits.

        Parameters
        ----------
        limits : WorkerLimits
            Limits of each worker.
        memory_bytes : int or None
            Memory limit of all workers together.
        """
        self._supervisor.limits = limits
        self._governor.budget_bytes = memory_bytes

    def tick(self, now_s: float) -> None:
        """Look at every worker; called several times a second."""
        self._kill_over_limit(now_s)
        if now_s >= self._next_poll_s:
            self._next_poll_s = now_s + _POLL_S
            self._govern(now_s)
            self._choose_retiring(now_s)

    def set_count(self, count: int) -> None:
        """Set the number of workers. Surplus workers end after their current tasks."""
        self._supervisor.set_count(count)
        self._choose_retiring(now_s=None)

    def count_replies(self, number: int, count: int) -> None:
        """Count tasks that a worker has answered; a worker that has done enough is retired.

        Parameters
        ----------
        number : int
            The worker's number.
        count : int
            Number of answers.
        """
        worker, recycle_tasks = self._supervisor.workers.get(number), self._supervisor.limits.recycle_tasks
        if worker is not None:
            worker.tasks += count
            if recycle_tasks is not None and worker.tasks >= recycle_tasks and worker.at_work:
                self.retire(number, f"has done {worker.tasks} blocks")

    def forget(self, worker: int) -> None:
        """Forget a worker that has ended."""
        for table in (self._retiring, self._since_s, self._alone):
            table.pop(worker, None)

    # -- memory ---------------------------------------------------------------------

    def _limit_of(self, worker: int) -> int | None:
        """Memory limit of a worker at this moment; one that works alone may take as much as all together."""
        leases = self._outbox.leases(worker)
        job = self._jobs.get(leases[0].job) if leases else None
        own_limit_bytes = job.job.memory_bytes if job is not None else None
        limit_bytes = own_limit_bytes or self._supervisor.limits.memory_bytes
        if limit_bytes is not None and leases and leases[0] == self._alone.get(worker):
            limit_bytes *= self._supervisor.count
        return limit_bytes

    def _kill_over_limit(self, now_s: float) -> None:
        for worker, rss, limit in self._supervisor.over_limit(now_s, self._limit_of):
            reason = f"took {format_size(rss)} of memory, {format_size(limit)} are allowed"
            self._supervisor.kill(worker, reason, now_s, 0, out_of_memory=True)

    def _busy(self) -> dict[int, int]:
        """Resident memory of each worker that has something to do."""
        workers = self._supervisor.workers
        return {number: workers[number].rss_bytes for number in workers if self._outbox.leases(number)}

    def _govern(self, now_s: float) -> None:
        busy, free = self._busy(), available_bytes()
        allowed = self._governor.allowed(
            now_s,
            available_bytes=free,
            total_bytes=self._total_bytes,
            busy_rss_bytes=busy,
            count=self._supervisor.count,
        )
        if allowed != self._allowed:
            self._allowed = allowed
            self._news.append(Capacity(allowed))
        victim = self._governor.emergency(
            available_bytes=free, total_bytes=self._total_bytes, busy_rss_bytes=busy
        )
        if victim is not None:
            reason = f"the machine has {format_size(free)} of memory left, this worker took most"
            self._supervisor.kill(victim, reason, now_s, 0, out_of_memory=True)

    # -- recycling ------------------------------------------------------------------

    def _choose_retiring(self, now_s: float | None) -> None:
        if now_s is not None:
            for worker, reason in self._supervisor.needs_recycling(now_s):
                self.retire(worker, reason)
        spare = [w for w in self._supervisor.workers if w not in self._retiring]
        spare.sort(key=lambda worker: len(self._outbox.leases(worker)))
        for worker in spare[: self._supervisor.surplus()]:
            self.retire(worker, "one worker less was asked for")

    def retire(self, worker: int, reason: str) -> None:
        """Let a worker finish its tasks, and then end it.

        Parameters
        ----------
        worker : int
            The worker's number.
        reason : str
            The reason, for people.
        """
        if worker not in self._retiring:
            self._retiring[worker] = reason
            self._supervisor.retiring(worker)
            self._news.append(Retiring(worker))

    def retire_idle(self, now_s: float) -> None:
        """End the retiring workers that have done their tasks; call it once `news` was acted upon.

        Those that are to take their places are started at once.
        """
        self._end([worker for worker in self._retiring if not self._outbox.leases(worker)], now_s)

    def replace(self, worker: int, reason: str, now_s: float) -> None:
        """As `retire`, for a worker that will be assigned nothing more: if it is idle it ends at once.

        Parameters
        ----------
        worker : int
            The worker's number.
        reason : str
            The reason, for people.
        now_s : float
        """
        self.retire(worker, reason)
        if not self._outbox.leases(worker):
            self._end([worker], now_s)

    def _end(self, workers: Iterable[int], now_s: float) -> None:
        ending = [self._supervisor.retire(worker, self._retiring[worker], now_s) for worker in workers]
        if any(ending):
            self._supervisor.fill(now_s)

    # -- for people -----------------------------------------------------------------

    def workers(self, now_s: float) -> tuple[WorkerInfo, ...]:
        """All workers with their current tasks."""
        return tuple(self._infos(now_s))

    def _infos(self, now_s: float) -> Iterable[WorkerInfo]:
        for number, process in self._supervisor.workers.items():
            leases = self._outbox.leases(number)
            fields = {
                "worker": number,
                "pid": process.pid,
                "rss_bytes": process.rss_bytes,
                "age_s": now_s - process.started_s,
                "tasks": process.tasks,
                "retiring": number in self._retiring,
            }
            job = self._jobs.get(leases[0].job) if leases else None
            if job is None:
                self._since_s.pop(number, None)
                yield WorkerInfo(**fields)
                continue
            lease = leases[0]
            since = self._since_s.get(number)
            if since is None or since[0] is not lease:
                self._since_s[number] = since = (lease, now_s)
            yield WorkerInfo(
                **fields,
                job=job.job.number,
                block=job.job.blocks.roi_of(lease.block).start,
                attempt=lease.attempt,
                busy_s=now_s - since[1],
            )
