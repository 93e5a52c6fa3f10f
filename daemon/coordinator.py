"""The coordinator: a pure state machine that decides which worker does which block when.

``handle(event)`` gives the actions to carry out. There is no socket, clock, file, thread or
chance in here: time comes in as `Tick`, everything else as events (see `events`). The states
of a block are drawn in `blocks`; those of a job are::

    running <--> paused      every block finished ------------> done
       |           |         every block finished or failed --> done_with_failures
       +-----------+-- a block or merge failed, or cancelled --> ending --> failed | cancelled
                                                     (waits for its leases and its merge)

Rules that hold after every event:

- A lease is (worker, job, block, attempt). An answer that is not the answer to a lease is
  counted in `stale_answers` and changes nothing.
- One place assigns: `_assign`. No worker gets a second block while another has none.
- A worker does its leases in order, so the first is the one it is busy with: when it dies,
  that one has failed an attempt, the others just go back.
- At most one merge of a job runs at any time, unless the job allows more.
- Every job is finished exactly once.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import events as ev
from .blocks import JobBlocks

MOST_CREDIT = 16


class Worker:
    """A worker as the coordinator sees it: its leases, in the order in which it does them."""

    __slots__ = ("accepts", "busy_since_s", "killed", "leases", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.leases: dict[tuple[str, int], int] = {}  # (job, block) -> attempt
        self.accepts = True
        self.killed = False
        self.busy_since_s = 0.0


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Counts of one job; `open` are drawn and not finished, `leased` of them with a worker."""

    count: int
    finished: int
    skipped: int
    failed: int
    open: int
    leased: int
    retries: int


class Coordinator:
    """Jobs, workers and leases; see the module for the rules."""

    def __init__(self) -> None:
        self.stale_answers = 0
        self._jobs: dict[str, JobBlocks] = {}
        self._queue: list[JobBlocks] = []  # those that run, by rank
        self._workers: dict[int, Worker] = {}
        # Workers that accept blocks, by how many leases they hold: ordered, none twice.
        self._by_load: list[dict[int, Worker]] = [{} for _ in range(MOST_CREDIT + 1)]
        self._ranks = 0
        self._draining = False
        self._now_s = 0.0
        self._actions: list[ev.Action] = []
        self._handlers: dict[type[ev.Event], Callable[[Any], None]] = {
            ev.Submit: self._submit,
            ev.Extend: self._extend,
            ev.Ready: self._ready,
            ev.Retire: self._retire,
            ev.Done: self._done,
            ev.Failed: self._failed,
            ev.Lost: self._lost,
            ev.Merged: self._merged,
            ev.MergeFailed: self._merge_failed,
            ev.Cancel: self._cancel,
            ev.Pause: self._pause,
            ev.Resume: self._resume,
            ev.Drain: self._drain,
            ev.Tick: self._tick,
        }

    def handle(self, event: ev.Event) -> list[ev.Action]:
        """Take an event in; what is to be done because of it, in order."""
        self._actions = []
        self._handlers[type(event)](event)
        self._assign()
        return self._actions

    # -- reading --------------------------------------------------------------------

    def holds(self, worker: int, job: str, block: int, attempt: int) -> bool:
        """Whether this lease is in force."""
        known = self._workers.get(worker)
        return known is not None and known.leases.get((job, block)) == attempt

    def progress(self, job: str) -> JobProgress:
        """Counts of a job."""
        j = self._jobs[job]
        return JobProgress(j.count, j.finished, j.skipped, len(j.failures), j.open, j.leased, j.retries)

    @property
    def idle(self) -> bool:
        """Whether no block is out."""
        return not any(worker.leases for worker in self._workers.values())

    def forget(self, job: str) -> None:
        """Drop a job that has ended."""
        if not self._jobs[job].over:
            raise ValueError(f"job {job} has not ended")
        del self._jobs[job]

    # -- jobs -----------------------------------------------------------------------

    def _running(self, job: str) -> JobBlocks | None:
        """The job, if it has not ended."""
        found = self._jobs.get(job)
        return found if found is not None and not found.over else None

    def _submit(self, event: ev.Submit) -> None:
        if event.job in self._jobs:
            self._actions.append(ev.Reject(event.job, f"there is a job {event.job} already"))
            return
        self._ranks += 1
        job = self._jobs[event.job] = JobBlocks(event, self._ranks)
        insort(self._queue, job, key=lambda queued: queued.rank)
        self._settle(job)

    def _extend(self, event: ev.Extend) -> None:
        job = self._running(event.job)
        if job is None or job.sealed:
            self._actions.append(ev.Reject(event.job, f"job {event.job} takes no more blocks"))
            return
        job.extend(event.count, event.sealed)
        self._settle(job)

    def _cancel(self, event: ev.Cancel) -> None:
        if (job := self._running(event.job)) is None:
            self._actions.append(ev.Reject(event.job, f"there is no job {event.job} that runs"))
        elif job.ending is None:
            self._end(job, "cancelled", "cancelled")

    def _pause(self, event: ev.Pause) -> None:
        self._set_paused(event.job, True)

    def _resume(self, event: ev.Resume) -> None:
        self._set_paused(event.job, False)

    def _set_paused(self, name: str, paused: bool) -> None:
        if (job := self._running(name)) is None:
            self._actions.append(ev.Reject(name, f"there is no job {name} that runs"))
        else:
            job.paused = paused

    def _end(self, job: JobBlocks, outcome: str, cause: str) -> None:
        """Stop a job: end the workers that are busy with it, take back what only waits there."""
        job.end(outcome, cause)
        for worker in self._workers.values():
            for number, key in enumerate(list(worker.leases)):
                if key[0] != job.name:
                    continue
                if number == 0:
                    self._kill(worker, f"job {job.name} is {outcome}")
                    break
                self._unlease(worker, key)
                job.leased -= 1
        self._settle(job)

    def _settle(self, job: JobBlocks) -> None:
        """Start what merges of a job may start; finish it where that is due."""
        while (block := job.next_merge()) >= 0:
            self._actions.append(ev.Merge(job.name, block))
        if (outcome := job.outcome()) is not None:
            job.over = True
            self._queue.remove(job)
            failures = sorted(job.failures.items())
            self._actions.append(ev.Finish(job.name, outcome, failures, job.cause))

    # -- workers --------------------------------------------------------------------

    def _ready(self, event: ev.Ready) -> None:
        if event.worker in self._workers:
            raise ValueError(f"worker {event.worker} is up already")
        worker = self._workers[event.worker] = Worker(event.worker)
        self._by_load[0][event.worker] = worker

    def _retire(self, event: ev.Retire) -> None:
        if (worker := self._workers.get(event.worker)) is not None:
            self._close(worker)

    def _close(self, worker: Worker) -> None:
        """Give a worker nothing new."""
        worker.accepts = False
        self._by_load[len(worker.leases)].pop(worker.number, None)

    def _kill(self, worker: Worker, reason: str) -> None:
        if not worker.killed:
            worker.killed = True
            self._close(worker)
            self._actions.append(ev.Kill(worker.number, reason))

    def _lost(self, event: ev.Lost) -> None:
        worker = self._workers.get(event.worker)
        if worker is None:
            return
        self._close(worker)
        del self._workers[event.worker]
        for number, (name, block) in enumerate(worker.leases):
            job = self._jobs[name]
            if job.ending is not None:
                job.leased -= 1
                self._settle(job)
            elif number == 0:
                self._try_again(job, block, event.reason, retry=True)
            else:
                job.put_back(block)

    def _tick(self, event: ev.Tick) -> None:
        self._now_s = event.now_s
        for worker in self._workers.values():
            if not worker.leases:
                continue
            name, _ = next(iter(worker.leases))
            limit_s = self._jobs[name].order.block_timeout_s
            if limit_s is not None and event.now_s - worker.busy_since_s > limit_s:
                self._kill(worker, f"the block took longer than {limit_s:g} s")

    def _drain(self, event: ev.Drain) -> None:
        self._draining = True

    # -- leases ---------------------------------------------------------------------

    def _unlease(self, worker: Worker, key: tuple[str, int]) -> None:
        load = len(worker.leases)
        del worker.leases[key]
        worker.busy_since_s = self._now_s
        if worker.accepts:
            del self._by_load[load][worker.number]
            self._by_load[load - 1][worker.number] = worker

    def _answered(self, event: ev.Done | ev.Failed) -> JobBlocks | None:
        """End the lease that an answer belongs to; its job, or None if there is no such lease."""
        worker = self._workers.get(event.worker)
        key = (event.job, event.block)
        if worker is None or worker.leases.get(key) != event.attempt:
            self.stale_answers += 1
            return None
        self._unlease(worker, key)
        return self._jobs[event.job]

    def _done(self, event: ev.Done) -> None:
        if (job := self._answered(event)) is not None:
            job.time(event.seconds)
            job.arrive(event.block)
            self._settle(job)

    def _failed(self, event: ev.Failed) -> None:
        if (job := self._answered(event)) is None:
            return
        if job.ending is not None:
            job.leased -= 1
            self._settle(job)
        else:
            self._try_again(job, event.block, event.error, event.retry)

    def _try_again(self, job: JobBlocks, block: int, reason: str, retry: bool) -> None:
        """Let a block wait for another attempt, or give it up."""
        if job.fail(block, reason, retry):
            attempts = f"attempt {job.failed_attempts(block)} of {job.order.retries + 1} failed"
            self._actions.append(ev.Notify(job.name, block, f"{attempts}, it is tried again: {reason}"))
        elif job.order.on_error == "fail":
            self._end(job, "failed", reason)
        else:
            self._actions.append(ev.Notify(job.name, block, f"given up: {reason}"))
            self._settle(job)

    def _merged(self, event: ev.Merged) -> None:
        job = self._merging(event.job, event.block)
        job.merged(event.block)
        self._settle(job)

    def _merge_failed(self, event: ev.MergeFailed) -> None:
        job = self._merging(event.job, event.block)
        job.merge_failed(event.block, event.error)
        if job.ending is None:
            self._end(job, "failed", event.error)
        else:
            self._settle(job)

    def _merging(self, name: str, block: int) -> JobBlocks:
        job = self._running(name)
        if job is None or block not in job.merging:
            raise ValueError(f"no merge of block {block} of job {name} was asked for")
        return job

    def _assign(self) -> None:
        """Lease blocks while there are blocks and workers with room: the only place that does."""
        if self._draining:
            return
        for job in self._queue:
            credit = job.credit
            while (worker := self._freest(credit)) is not None:
                block = job.draw()
                if block < 0:
                    break
                self._lease(worker, job, block)

    def _freest(self, credit: int) -> Worker | None:
        for workers in self._by_load[:credit]:
            if workers:
                return next(iter(workers.values()))
        return None

    def _lease(self, worker: Worker, job: JobBlocks, block: int) -> None:
        attempt = job.lease(block)
        load = len(worker.leases)
        if load == 0:
            worker.busy_since_s = self._now_s
        worker.leases[job.name, block] = attempt
        del self._by_load[load][worker.number]
        self._by_load[load + 1][worker.number] = worker
        self._actions.append(ev.Assign(worker.number, job.name, block, attempt))
