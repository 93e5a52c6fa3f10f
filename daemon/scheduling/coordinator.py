"""The coordinator: a pure state machine that decides which worker does which block, and when.

It takes events and returns the actions to carry out; there is no socket, clock, file, thread or
chance in this package. Time comes as `Tick`. This module dispatches events, and handles those about jobs
and merges; `worker_events` handles those from workers, and `scheduler` decides which worker gets a
block. The life of a block (drawn in `blocks` in more detail)::

    pending --> leased --> (merging) --> done
       ^          |            |
       +-- again -+------------+-------> failed | cancelled

and that of a job::

    open <--> paused      all blocks done ----------------> done
      |         |         all final, some failed ---------> done_with_failures
      +---------+---> stopping ---------------------------> failed | cancelled
         a block or a merge failed for good, or Cancel;
         ends once its leases and its merge are closed

Invariants after every event:

- A lease is (worker, job, block, attempt). Each lease of a block counts as an attempt; failures are
  counted separately. An answer without a lease changes nothing: late answers are normal, not errors.
- Only `Scheduler.assign` gives leases, at the end of each event. `fair_share` chooses the job.
- A worker does blocks of one user alone, from its first lease to its end. A job for whose user no worker
  has room lets those of other users go on. A worker of theirs is replaced by a fresh one for it if it is
  idle for want of blocks, or if the job's owner has fewer workers, or had less time, than fair share gives.
- While expected workers still start, nobody gets a second lease of a job that has no more free blocks than
  workers are expected: else whoever is up first would take long blocks that the others could begin.
- A block that ran out of memory runs alone: it is leased when no worker is busy, and nothing else is
  leased until its lease is closed.
- A block whose workers die is set aside after its tries, and does not end its job; one that fails with
  an error does, if the job has `on_error` "fail".
- A worker works through its leases in order, so the first one runs, unless the engine knows better. If
  the worker is lost, this one has failed once more, and the others are returned as if never leased. If
  the worker was killed on purpose, only a block that exceeded its time-out has failed.
- One merge of a job runs at a time, unless the job allows more. Each block is merged at most once.
- Each job ends exactly once, by `Finish`, and then has no open lease and no open merge.
"""

from collections.abc import Callable, Iterable
from typing import Any

from . import events as ev
from .job import JobState
from .scheduler import Scheduler
from .worker_events import WorkerEvents


class Coordinator:
    """Jobs, workers and leases; feed it by `handle`, from one thread.

    Parameters
    ----------
    least_credit : int
        Leases that a worker may always hold, however long its blocks take. With 2 the next block
        is there when one ends; with 1 no long block waits behind another while a worker is
        idle. A worker may hold more leases of short blocks in any case.
    """

    def __init__(self, least_credit: int = 2) -> None:
        self._jobs: dict[str, JobState] = {}
        self._scheduler = Scheduler(least_credit)
        self._pool = self._scheduler.pool
        self._least_credit = least_credit
        self._submitted = 0
        workers = WorkerEvents(self._jobs, self._scheduler)
        self._handlers: dict[type, Callable[[Any, list[ev.Action]], None]] = {
            ev.Submit: self._submit,
            ev.Extend: self._extend,
            ev.Ready: workers.ready,
            ev.Expect: self._expect,
            ev.Retire: workers.retire,
            ev.Done: workers.done,
            ev.Failed: workers.failed,
            ev.Lost: workers.lost,
            ev.Merged: self._merged,
            ev.MergeFailed: self._merge_failed,
            ev.Cancel: self._cancel,
            ev.Pause: self._pause,
            ev.Resume: self._resume,
            ev.Reprioritise: self._reprioritise,
            ev.Drain: self._drain,
            ev.Undrain: self._undrain,
            ev.Allow: self._allow,
            ev.Tick: workers.tick,
        }

    def handle(self, event: ev.Event) -> list[ev.Action]:
        """Handle an event. Returns the actions to carry out, in this order, before the next event.

        Raises
        ------
        TypeError
            If `event` is not one of the events.
        ValueError
            If a number in it is out of bounds. Nothing has changed then.
        """
        return self.handle_all((event,))

    def handle_all(self, events: Iterable[ev.Event]) -> list[ev.Action]:
        """Handle events that came together; blocks are leased once, after the last of them.

        Raises
        ------
        TypeError, ValueError
            As `handle`; the events before the wrong one have been handled then.
        """
        actions: list[ev.Action] = []
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is None:
                raise TypeError(f"{event!r} is not an event of the coordinator; see scheduling/events.py")
            handler(event, actions)
        self._scheduler.assign(actions)
        return actions

    # ------------------------------------------------------------------------------- reading

    @property
    def busy(self) -> int:
        """The number of workers that hold a lease."""
        return self._pool.busy

    @property
    def quiet(self) -> bool:
        """True if no lease is open, and no result of any job is being merged or waits for that."""
        return not self._pool.busy and all(job.quiet for job in self._jobs.values())

    def paused(self, job: str) -> bool:
        """Test if a job is paused; KeyError if it is unknown."""
        return self._jobs[job].paused

    def counts(self, job: str) -> ev.BlockCounts:
        """The counts of a job, in constant time; KeyError if the job is unknown."""
        return self._jobs[job].counts()

    def leases(self, worker: int) -> tuple[ev.Assign, ...]:
        """The open leases of a worker, the running one first; none if the worker is unknown."""
        state = self._pool.workers.get(worker)
        return tuple(state.leases) if state is not None else ()

    def holds(self, worker: int, job: str, block: int, attempt: int) -> bool:
        """Test if a lease is open, so that an answer to it would count.

        Parameters
        ----------
        worker : int
        job : str
        block, attempt : int

        Returns
        -------
        bool
        """
        return self._pool.holds(worker, job, block, attempt)

    def forget(self, job: str) -> None:
        """Drop an ended job, so that its name is free again.

        Raises
        ------
        KeyError
            If the job is unknown.
        ValueError
            If it has not ended; cancel it and wait for its `Finish`.
        """
        if not self._jobs[job].ended:
            raise ValueError(f"job {job!r} has not ended; forget it after its Finish")
        del self._jobs[job]

    # ----------------------------------------------------------------------------------- jobs

    def _submit(self, event: ev.Submit, actions: list[ev.Action]) -> None:
        if event.job in self._jobs:
            self._reject(event.job, event, "there is a job of this name already", actions)
            return
        job = self._jobs[event.job] = JobState(event, self._submitted, self._least_credit)
        self._scheduler.welcome(job)
        self._pool.release_all()
        self._submitted += 1
        self._scheduler.settle(job, actions)

    def _extend(self, event: ev.Extend, actions: list[ev.Action]) -> None:
        job = self._live_job(event.job, event, actions)
        if job is None:
            return
        if job.sealed:
            self._reject(event.job, event, "the job is sealed, it takes no more blocks", actions)
            return
        job.blocks.extend(event.count_more)
        job.sealed = event.sealed
        self._scheduler.settle(job, actions)

    def _cancel(self, event: ev.Cancel, actions: list[ev.Action]) -> None:
        if (job := self._live_job(event.job, event, actions)) is not None:
            job.stop("cancelled", event.reason, actions)
            self._scheduler.settle(job, actions)

    def _pause(self, event: ev.Pause, actions: list[ev.Action]) -> None:
        if (job := self._live_job(event.job, event, actions)) is not None:
            job.paused = True

    def _resume(self, event: ev.Resume, actions: list[ev.Action]) -> None:
        if (job := self._live_job(event.job, event, actions)) is not None:
            job.paused = False
            self._scheduler.settle(job, actions)

    def _reprioritise(self, event: ev.Reprioritise, actions: list[ev.Action]) -> None:
        if (job := self._live_job(event.job, event, actions)) is not None:
            if job.queued:
                self._scheduler.fair_share.remove(job)
            job.priority = event.priority
            self._scheduler.settle(job, actions)

    def _drain(self, event: ev.Drain, actions: list[ev.Action]) -> None:
        self._scheduler.draining = True

    def _undrain(self, event: ev.Undrain, actions: list[ev.Action]) -> None:
        self._scheduler.draining = False

    def _allow(self, event: ev.Allow, actions: list[ev.Action]) -> None:
        if event.busy < 1:
            raise ValueError(f"{event.busy} workers can't be busy; allow 1 or more")
        self._pool.allowed = event.busy

    def _expect(self, event: ev.Expect, actions: list[ev.Action]) -> None:
        if event.workers < 0:
            raise ValueError(f"{event.workers} workers can't be expected; give 0 or more")
        self._pool.expect(event.workers)

    def _live_job(self, name: str, event: ev.Event, actions: list[ev.Action]) -> JobState | None:
        """The job of this name. If it is unknown, over or stopping, the event is rejected: None."""
        job = self._jobs.get(name)
        if job is None:
            self._reject(name, event, "there is no such job", actions)
        elif job.outcome is not None:
            state = "has ended" if job.ended else "is already ending"
            self._reject(name, event, f"the job {state} as {job.outcome}", actions)
        else:
            return job
        return None

    def _reject(self, name: str, event: ev.Event, reason: str, actions: list[ev.Action]) -> None:
        actions.append(ev.Reject(name, type(event).__name__, reason))

    def _merged(self, event: ev.Merged, actions: list[ev.Action]) -> None:
        job = self._jobs.get(event.job)
        if job is not None and job.merged(event.block, actions):
            self._scheduler.settle(job, actions)

    def _merge_failed(self, event: ev.MergeFailed, actions: list[ev.Action]) -> None:
        job = self._jobs.get(event.job)
        if job is not None and job.merge_failed(event.block, event.error, actions):
            self._scheduler.settle(job, actions)
