"""The coordinator: a pure state machine that decides which worker does which block, and when.

An event goes in, the actions to carry out come back; there is no socket, clock, file, thread or
chance in here. Time enters as `Tick`. The life of a block (drawn in `blocks` in more detail)::

    pending --> leased --> (merging) --> done
       ^          |            |
       +-- again -+------------+-------> failed | cancelled

and that of a job::

    open <--> paused      all blocks done ----------------> done
      |         |         all final, some failed ---------> done_with_failures
      +---------+---> stopping ---------------------------> failed | cancelled
         a block or a merge failed for good, or Cancel;
         ends once its leases and its merge are closed

What holds after every event:

- A lease is (worker, job, block, attempt), where an attempt is one lease of the block, whatever
  becomes of it; failures are counted apart. An answer without a lease is counted in
  ``stats.stale`` and changes nothing: late answers are normal, not errors.
- One place assigns, `_assign`, at the end of each event. `shares` says whose turn it is.
- A block that ran out of memory runs alone: the machine runs dry, it is leased, and until its lease is
  closed nothing else is.
- A block whose workers die is set aside after its tries, and does not end its job; one that answers
  that it failed does, where the job says so.
- A worker works through its leases in order, so the first one is the one that runs, unless
  the shell knows better. If the worker is lost, this one has failed once more, the others go
  back as if never leased. If it
  was killed on purpose, nothing has failed but a block that ran out of time.
- One merge of a job runs at a time, unless the job allows more. Each block is merged at most once.
- Each job ends exactly once, by `Finish`, and has then no lease and no merge open.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from . import events as ev
from .crew import Crew, Worker
from .jobstate import JobState
from .shares import Shares


class Coordinator:
    """Jobs, workers and leases; feed it by `handle`, from one thread.

    Parameters
    ----------
    least_credit : int
        Leases that a worker may always hold, whatever its blocks take. With 2 the next block
        is there when one ends; with 1 no long block waits behind another while a worker is
        idle. Of short blocks a worker may hold more in any case.

    Attributes
    ----------
    stats : Stats
        Counts of what went by: stale answers, lost and killed workers, rejected requests.
    """

    def __init__(self, least_credit: int = 2) -> None:
        self.stats = ev.Stats()
        self._jobs: dict[str, JobState] = {}
        self._shares = Shares()
        self._wanting_alone: dict[str, JobState] = {}
        self._alone: ev.Assign | None = None  # the lease beside which there is no other
        self._crew = Crew(least_credit)
        self._least_credit = least_credit
        self._submitted = 0
        self._stopping: set[str] = set()
        self._draining = False
        self._now_s: float | None = None
        self._deciders: dict[type, Callable[[Any, list[ev.Action]], None]] = {
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
            ev.Reprioritise: self._reprioritise,
            ev.Drain: self._drain,
            ev.Undrain: self._undrain,
            ev.Allow: self._allow,
            ev.Tick: self._tick,
        }

    def handle(self, event: ev.Event) -> list[ev.Action]:
        """Take an event in; the actions to carry out, in this order, before the next event.

        Raises
        ------
        TypeError
            If `event` is not one of the events.
        ValueError
            If a number in it is out of bounds. Nothing has changed then.
        """
        return self.handle_all((event,))

    def handle_all(self, events: Iterable[ev.Event]) -> list[ev.Action]:
        """Take events in that came together; blocks are leased once, after the last of them.

        Raises
        ------
        TypeError, ValueError
            As `handle`; the events before the wrong one have been taken in.
        """
        actions: list[ev.Action] = []
        for event in events:
            decide = self._deciders.get(type(event))
            if decide is None:
                raise TypeError(f"{event!r} is not an event of the coordinator; see daemon/events.py")
            decide(event, actions)
        self._assign(actions)
        return actions

    # ------------------------------------------------------------------------------- reading

    @property
    def idle(self) -> bool:
        """Whether no lease is open."""
        return not self._crew.busy

    @property
    def busy(self) -> int:
        """How many workers hold a lease."""
        return self._crew.busy

    @property
    def quiet(self) -> bool:
        """Whether no lease is open, and no result of any job waits for its merge or is in it."""
        return not self._crew.busy and all(job.quiet for job in self._jobs.values())

    def paused(self, job: str) -> bool:
        """Whether a job is paused; KeyError where it is unknown."""
        return self._jobs[job].paused

    def progress(self, job: str) -> ev.Progress:
        """The counts of a job, in constant time; KeyError where the job is unknown."""
        return self._jobs[job].progress()

    def leases(self, worker: int) -> tuple[ev.Assign, ...]:
        """The open leases of a worker, the running one first; empty where it is unknown."""
        known = self._crew.workers.get(worker)
        return tuple(known.leases) if known is not None else ()

    def holds(self, worker: int, job: str, block: int, attempt: int) -> bool:
        """Whether this lease is open: whether an answer to it would count."""
        return self._crew.holds(worker, job, block, attempt)

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

    # ------------------------------------------------------------------------------ the policy

    def _assign(self, actions: list[ev.Action]) -> None:
        """Lease blocks while there is one to give and room for it. Nothing else does."""
        if self._draining or self._alone is not None:
            return
        if self._wanting_alone and (lonely := self._next_alone()) is not None:
            self._assign_alone(lonely, actions)
            return
        crew, shares = self._crew, self._shares
        # A job that finds no room keeps the ones behind it waiting, too: else short blocks of
        # theirs would take each place that comes free before it counts as room for this one.
        while (job := shares.choose()) is not None:
            worker = crew.with_room(job.name, job.credit)
            if worker is None:
                return
            block, attempt = job.blocks.draw()
            lease = ev.Assign(worker.number, job.name, block, attempt)
            crew.give(worker, lease)
            shares.charge(job.owner, job.mean_s)
            actions.append(lease)

    def _next_alone(self) -> JobState | None:
        return next((job for job in self._wanting_alone.values() if job.wants_to_be_alone()), None)

    def _assign_alone(self, job: JobState, actions: list[ev.Action]) -> None:
        """Lease a block that must have nothing beside it, once nothing is."""
        if self._crew.busy or (worker := self._crew.with_room(job.name, 1)) is None:
            return
        block, attempt = job.blocks.draw_alone()
        self._alone = lease = ev.Assign(worker.number, job.name, block, attempt, alone=True)
        self._crew.give(worker, lease)
        actions.append(lease)

    def _close(self, lease: ev.Assign) -> None:
        """Note that a lease is over, however that came."""
        if lease is self._alone:
            self._alone = None

    # ----------------------------------------------------------------------------------- jobs

    def _submit(self, event: ev.Submit, actions: list[ev.Action]) -> None:
        if event.job in self._jobs:
            self._reject(event.job, event, "there is a job of this name already", actions)
            return
        job = self._jobs[event.job] = JobState(event, self._submitted, self._least_credit)
        self._crew.release_all()
        self._submitted += 1
        self._settle(job, actions)

    def _extend(self, event: ev.Extend, actions: list[ev.Action]) -> None:
        job = self._live(event.job, event, actions)
        if job is None:
            return
        if job.sealed:
            self._reject(event.job, event, "the job is sealed, it takes no more blocks", actions)
            return
        job.blocks.extend(event.count_more)
        job.sealed = event.sealed
        self._settle(job, actions)

    def _cancel(self, event: ev.Cancel, actions: list[ev.Action]) -> None:
        if (job := self._live(event.job, event, actions)) is not None:
            job.stop("cancelled", event.reason, actions)
            self._settle(job, actions)

    def _pause(self, event: ev.Pause, actions: list[ev.Action]) -> None:
        if (job := self._live(event.job, event, actions)) is not None:
            job.paused = True

    def _resume(self, event: ev.Resume, actions: list[ev.Action]) -> None:
        if (job := self._live(event.job, event, actions)) is not None:
            job.paused = False
            self._settle(job, actions)

    def _reprioritise(self, event: ev.Reprioritise, actions: list[ev.Action]) -> None:
        if (job := self._live(event.job, event, actions)) is not None:
            if job.queued:
                self._shares.remove(job)
            job.priority = event.priority
            self._settle(job, actions)

    def _drain(self, event: ev.Drain, actions: list[ev.Action]) -> None:
        self._draining = True

    def _undrain(self, event: ev.Undrain, actions: list[ev.Action]) -> None:
        self._draining = False

    def _allow(self, event: ev.Allow, actions: list[ev.Action]) -> None:
        if event.busy < 1:
            raise ValueError(f"{event.busy} workers can't be busy; allow 1 or more")
        self._crew.allowed = event.busy

    def _live(self, name: str, event: ev.Event, actions: list[ev.Action]) -> JobState | None:
        """The job, if it is neither unknown nor over nor stopping; else reject the event."""
        job = self._jobs.get(name)
        if job is None:
            self._reject(name, event, "there is no such job", actions)
        elif job.outcome is not None:
            what = "has ended" if job.ended else "is already ending"
            self._reject(name, event, f"the job {what} as {job.outcome}", actions)
        else:
            return job
        return None

    def _reject(self, name: str, event: ev.Event, reason: str, actions: list[ev.Action]) -> None:
        self.stats.rejected += 1
        actions.append(ev.Reject(name, type(event).__name__, reason))

    def _settle(self, job: JobState, actions: list[ev.Action]) -> None:
        """Do what a change of a job has made possible or needed; called after each of them."""
        job.settle(actions)
        if job.blocks.alone:
            self._wanting_alone[job.name] = job
        else:
            self._wanting_alone.pop(job.name, None)
        if job.outcome is not None:
            self._follow_end(job, actions)
        elif not job.queued and job.can_start():
            self._shares.add(job)

    def _follow_end(self, job: JobState, actions: list[ev.Action]) -> None:
        if job.queued:
            self._shares.remove(job)
        if job.ended:
            self._stopping.discard(job.name)
        elif job.name not in self._stopping:
            self._stopping.add(job.name)
            for worker in self._crew.workers.values():
                self._kill_if_stopping(worker, actions)

    # -------------------------------------------------------------------------------- workers

    def _ready(self, event: ev.Ready, actions: list[ev.Action]) -> None:
        if event.worker in self._crew.workers:
            self.stats.stale += 1  # a doubled hello; taking it up would undo a Retire or a Kill
        else:
            self._crew.join(event.worker)

    def _retire(self, event: ev.Retire, actions: list[ev.Action]) -> None:
        worker = self._crew.workers.get(event.worker)
        if worker is None:
            self.stats.stale += 1
        else:
            self._crew.bench(worker)

    def _lost(self, event: ev.Lost, actions: list[ev.Action]) -> None:
        worker = self._crew.leave(event.worker)
        if worker is None:
            self.stats.stale += 1
            return
        self.stats.lost += 1
        for place, lease in enumerate(worker.leases):
            self._close(lease)
            job = self._jobs[lease.job]
            to_blame = place == event.running and worker.target in (None, lease) and job.outcome is None
            if to_blame:
                reason = event.reason
                if worker.kill_reason not in reason:
                    reason = f"{worker.kill_reason}: {reason}"
                job.lease_failed(lease, reason, actions, memory=event.memory, killed=True)
            else:
                job.lease_returned(lease)
            self._settle(job, actions)

    def _kill(self, worker: Worker, reason: str, actions: list[ev.Action]) -> None:
        self._crew.bench(worker)
        worker.target, worker.kill_reason = worker.leases[0], reason
        self.stats.killed += 1
        actions.append(ev.Kill(worker.number, reason))

    def _kill_if_stopping(self, worker: Worker, actions: list[ev.Action]) -> None:
        """Kill a worker that runs a block of a job that is to end."""
        if worker.leases and worker.target is None:
            job = self._jobs[worker.leases[0].job]
            if job.outcome is not None:
                self._kill(worker, f"job {job.name!r} ends as {job.outcome}: {job.reason}", actions)

    def _tick(self, event: ev.Tick, actions: list[ev.Action]) -> None:
        now_s = event.now_s
        if self._now_s is not None and now_s < self._now_s:
            raise ValueError(f"the time went back from {self._now_s} s to {now_s} s; use a monotonic clock")
        self._now_s = now_s
        self._crew.tick()
        for worker in self._crew.workers.values():
            if not worker.leases or worker.target is not None:
                continue
            if worker.running_since_s is None:
                worker.running_since_s = now_s
            lease = worker.leases[0]
            limit_s = self._jobs[lease.job].block_timeout_s
            if limit_s is not None and now_s - worker.running_since_s > limit_s:
                self._kill(worker, f"block {lease.block} ran longer than {limit_s:g} s", actions)

    # -------------------------------------------------------------------------------- answers

    def _done(self, event: ev.Done, actions: list[ev.Action]) -> None:
        lease = self._crew.take(event.worker, event.job, event.block, event.attempt)
        if lease is None:
            self._stale_result(event, actions)
            return
        self._close(lease)
        job = self._jobs[event.job]
        if 0.0 <= event.seconds < inf:
            self._shares.charge(job.owner, event.seconds - job.mean_s)
        job.lease_done(lease, event.seconds, actions)
        self._settle(job, actions)
        if job.trial:
            self._crew.keep(self._crew.workers[event.worker])
        if self._stopping:
            self._kill_if_stopping(self._crew.workers[event.worker], actions)

    def _stale_result(self, event: ev.Done, actions: list[ev.Action]) -> None:
        """Count an answer without a lease, and let its result be freed."""
        self.stats.stale += 1
        job = self._jobs.get(event.job)
        if job is None or not job.awaits_merge(event.block, event.attempt):
            actions.append(ev.Drop(event.worker, event.job, event.block, event.attempt))

    def _failed(self, event: ev.Failed, actions: list[ev.Action]) -> None:
        lease = self._crew.take(event.worker, event.job, event.block, event.attempt)
        if lease is None:
            self.stats.stale += 1
            return
        self._close(lease)
        job = self._jobs[event.job]
        job.lease_failed(lease, event.error, actions, retry=event.retry, memory=event.memory)
        self._settle(job, actions)
        if self._stopping:
            self._kill_if_stopping(self._crew.workers[event.worker], actions)

    def _merged(self, event: ev.Merged, actions: list[ev.Action]) -> None:
        job = self._jobs.get(event.job)
        if job is not None and job.merged(event.block, actions):
            self._settle(job, actions)
        else:
            self.stats.stale += 1

    def _merge_failed(self, event: ev.MergeFailed, actions: list[ev.Action]) -> None:
        job = self._jobs.get(event.job)
        if job is not None and job.merge_failed(event.block, event.error, actions):
            self._settle(job, actions)
        else:
            self.stats.stale += 1
