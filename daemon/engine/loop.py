"""The dispatcher: carries out the coordinator's decisions with an executor.

One thread owns the coordinator and the executor. Commands and the executor's news come in as events,
actions go out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...shared.geometry.grid import RoiList
from ...shared.messages import engine as wire
from ...shared.messages.records import WorkerInfo
from ...shared.outside_text import error_text
from ..executors.api import (
    Answered,
    Capacity,
    Died,
    Executor,
    NoRoom,
    Remark,
    Replacing,
    Resizable,
    Retiring,
    Up,
    WorkerLimits,
)
from ..scheduling import events as ev
from ..scheduling.coordinator import Coordinator
from .handle import Ended, Notice
from .job import EngineJob
from .mailbox import Mailbox
from .notices import Notices

GRACE_S = 0.7
"""Time that a worker gets to unwind before it is killed."""
_TICK_S = 0.2
_END_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class View:
    """The engine at its last tick: workers, how many of them may be busy, and True if all is quiet."""

    workers: tuple[WorkerInfo, ...] = ()
    allowed: int = 0
    quiet: bool = True
    time_s: float = 0.0  # monotonic


class Dispatcher:
    """The engine's thread: news in, events to the coordinator, actions out.

    Parameters
    ----------
    executor : Executor
        Not started yet.
    mailbox : Mailbox
        Brings the commands of other threads.
    """

    def __init__(self, executor: Executor, mailbox: Mailbox) -> None:
        self.view = View(allowed=executor.count)
        self.cause = "the engine was closed"  # why it has ended, once it has
        self.ended = False  # set before any job is told so: who asks then must not be told that it lives
        self._executor = executor
        self._mailbox = mailbox
        self._core = Coordinator(least_credit=1)
        self._jobs: dict[str, EngineJob] = {}
        self._notices = Notices(self._jobs)
        self._closing = False
        self._grace_s = GRACE_S
        self._allowed = executor.count
        self._next_tick_s = 0.0
        self._take: dict[type, Callable[[Any], None]] = {
            Up: lambda news: self._feed(ev.Ready(news.worker)),
            Answered: lambda news: self._take_replies(news.worker, news.replies),
            Died: self._forget_worker,
            Retiring: lambda news: self._feed(ev.Retire(news.worker)),
            Capacity: self._set_capacity,
            Remark: lambda news: self._notices.send_to_all(Notice(news.text)),
        }
        self._carry_out: dict[type, Callable[[Any], None]] = {
            ev.Assign: self._assign,
            ev.Merge: self._merge,
            ev.Drop: self._drop,
            ev.Persist: self._persist,
            ev.Attempted: self._attempted,
            ev.Kill: self._kill,
            ev.Replace: self._replace,
            ev.Finish: self._finish,
            ev.Notify: self._notices.notify,
            ev.Reject: self._notices.reject,
        }

    # -- life -----------------------------------------------------------------------

    def run(self) -> None:
        """Serve until closed; any error ends every job loudly."""
        error: BaseException | None = None
        try:
            try:
                self._serve()
            finally:
                self._executor.close()
        except BaseException as fatal:  # noqa: BLE001 - a job must never wait for a dead engine
            self.cause = f"the engine broke down: {error_text(fatal)}"
            error = fatal
        self.ended = True
        self._fail_all(self.cause, error)

    def _serve(self) -> None:
        self._executor.start()
        self._feed(ev.Expect(self._executor.count))
        while not self._closing:
            self._executor.wait(self._mailbox.fileno(), _TICK_S)
            self._turn()
        self._end_workers()

    def _turn(self) -> None:
        """Take in all news of one wake-up, then send the actions that follow."""
        now_s = time.monotonic()
        self._take_news(now_s)
        self._take_commands()
        if now_s >= self._next_tick_s:
            self._tick(now_s)
        self._executor.flush()

    def _tick(self, now_s: float) -> None:
        self._next_tick_s = now_s + _TICK_S
        self._feed(ev.Tick(now_s))
        self._notices.relay(self._executor.output())
        for name in self._jobs:
            self._count(name)
        self.view = View(self._executor.workers(now_s), self._allowed, self._core.quiet, now_s)

    def _count(self, name: str) -> None:
        """Copy the coordinator's totals to where the submitter sees them."""
        counts, totals = self._core.counts(name), self._jobs[name].handle.progress
        totals.running, totals.failed, totals.retries = counts.running, counts.failed, counts.retries

    def _end_workers(self) -> None:
        """Let every worker unwind; those that take too long are killed when the executor closes."""
        self._executor.stop(time.monotonic())
        deadline_s = time.monotonic() + 2 * GRACE_S
        while self._executor.alive and (now_s := time.monotonic()) < deadline_s:
            self._executor.wait(self._mailbox.fileno(), _END_POLL_S)
            self._take_news(now_s)

    def _fail_all(self, cause: str, error: BaseException | None) -> None:
        for verb, *args in self._mailbox.shut():
            if verb == "submit":
                self._jobs[args[0].name] = args[0]
        for job in self._jobs.values():
            job.handle.put(Ended("failed", cause=cause, error=error, interrupted=job.cut_off()))
        self._jobs.clear()

    # -- in -------------------------------------------------------------------------

    def _take_news(self, now_s: float) -> None:
        for news in self._executor.news(now_s):
            self._take[type(news)](news)

    def _set_capacity(self, capacity: Capacity) -> None:
        self._allowed = capacity.busy
        self._feed(ev.Allow(capacity.busy))

    def _take_replies(self, worker: int, replies: Sequence[wire.TaskReply]) -> None:
        holds = self._core.holds
        # The other replies are late or doubled. The coordinator would ignore them, but what is noted of
        # the job belongs to another lease by now.
        open_replies = [reply for reply in replies if holds(worker, reply.job, reply.block, reply.attempt)]
        self._act(self._core.handle_all([self._event_of(worker, reply) for reply in open_replies]))

    def _event_of(self, worker: int, reply: wire.TaskReply) -> ev.Event:
        name, block, attempt = reply.job, reply.block, reply.attempt
        job = self._jobs[name]
        job.leased_blocks.discard(block)
        if isinstance(reply, wire.TaskDone):
            job.keep_reply(reply)
            if reply.note:
                job.handle.put(Notice(reply.note))
            return ev.Done(worker, name, block, attempt, reply.seconds)
        if reply.kind:
            job.error_kinds[block] = reply.kind
        return ev.Failed(worker, name, block, attempt, reply.error, reply.retry, reply.memory)

    def _forget_worker(self, death: Died) -> None:
        """Report a death to the coordinator, with the lease that the worker was doing."""
        if death.was_up:
            leases = [wire.Lease(a.job, a.block, a.attempt) for a in self._core.leases(death.worker)]
            running = leases.index(death.running) if death.running in leases else -1
            self._feed(ev.Lost(death.worker, death.reason, running, death.out_of_memory))

    def _take_commands(self) -> None:
        for verb, *args in self._mailbox.take():
            getattr(self, f"_command_{verb}")(*args)

    def _command_submit(self, job: EngineJob) -> None:
        if job.uid is not None and not (
            isinstance(self._executor, Replacing) and self._executor.become_owners
        ):
            job.handle.put(
                Ended("failed", cause="the workers of this engine do not become the owners of jobs")
            )
            return
        self._jobs[job.name] = job
        self._executor.add_job(job.for_executor())
        try:
            self._feed(job.submission())
        except ValueError as error:  # a spec that makes no sense concerns its submitter alone
            del self._jobs[job.name]
            self._executor.end_job(job.name)
            job.handle.put(Ended("failed", cause=str(error), error=error))

    def _command_extend(self, name: str, rois: list[Any], sealed: bool) -> None:
        if (job := self._jobs.get(name)) is not None:
            assert isinstance(job.spec.blocks, RoiList)
            job.spec.blocks.extend(rois)
            self._feed(ev.Extend(name, len(rois), sealed))

    def _command_merged(self, name: str, block: int) -> None:
        if (job := self._jobs.get(name)) is not None and block in job.merging_blocks:
            job.merging_blocks.remove(block)
            self._feed(ev.Merged(name, block))

    def _command_merge_failed(self, name: str, block: int, error: str) -> None:
        if (job := self._jobs.get(name)) is not None and block in job.merging_blocks:
            job.merging_blocks.remove(block)
            self._feed(ev.MergeFailed(name, block, error))

    def _command_cancel(self, name: str, now: bool = False) -> None:
        """End a job at the request of its submitter, who will merge nothing any more."""
        if (job := self._jobs.get(name)) is None:
            return
        self._grace_s = 0.0 if now else GRACE_S
        self._feed(ev.Cancel(name))
        self._grace_s = GRACE_S
        for block in list(job.merging_blocks):
            self._command_merge_failed(name, block, "the job was cancelled")

    def _command_pause(self, name: str) -> None:
        if name in self._jobs:
            self._feed(ev.Pause(name))

    def _command_resume(self, name: str) -> None:
        if name in self._jobs:
            self._feed(ev.Resume(name))

    def _command_prioritise(self, name: str, priority: int) -> None:
        if name in self._jobs:
            self._feed(ev.Reprioritise(name, priority))

    def _command_drain(self, draining: bool) -> None:
        self._feed(ev.Drain() if draining else ev.Undrain())

    def _command_release(self, segment: int) -> None:
        self._executor.release(segment)

    def _command_set_workers(self, count: int) -> None:
        assert isinstance(self._executor, Resizable), "the engine has asked"
        self._feed(ev.Expect(count))
        self._executor.set_count(count)

    def _command_set_limits(self, limits: WorkerLimits, memory_bytes: int | None) -> None:
        assert isinstance(self._executor, Resizable), "the engine has asked"
        self._executor.set_limits(limits, memory_bytes)

    def _command_close(self) -> None:
        for name in list(self._jobs):
            self._command_cancel(name)
        self._closing = True

    # -- out ------------------------------------------------------------------------

    def _feed(self, event: ev.Event) -> None:
        self._act(self._core.handle(event))

    def _act(self, actions: list[ev.Action]) -> None:
        for action in actions:
            self._carry_out[type(action)](action)

    def _assign(self, action: ev.Assign) -> None:
        job, block, attempt = action.job, action.block, action.attempt
        self._jobs[job].leased_blocks.add(block)
        try:
            self._executor.assign(action.worker, wire.Lease(job, block, attempt), alone=action.alone)
        except NoRoom as error:
            reason = f"no place for the result: {error}"
            self._feed(ev.Failed(action.worker, job, block, attempt, reason, False))

    def _merge(self, action: ev.Merge) -> None:
        job = self._jobs[action.job]
        job.merging_blocks.add(action.block)
        has_voxels = job.spec.merge_dtype is not None
        array = self._executor.take_result(job.name, action.block) if has_voxels else None
        job.handle.put(job.result(action.block, array))

    def _kill(self, action: ev.Kill) -> None:
        self._executor.kill(action.worker, action.reason, self._grace_s)

    def _replace(self, action: ev.Replace) -> None:
        assert isinstance(self._executor, Replacing), "else no job of a user is taken"
        self._executor.replace(action.worker)

    def _finish(self, action: ev.Finish) -> None:
        self._notices.relay(self._executor.output())  # what was printed comes before the end
        self._count(action.job)
        job = self._jobs.pop(action.job)
        self._core.forget(action.job)
        failures = [(b, job.spec.blocks.roi_of(b), reason) for b, reason in action.failed]
        self._executor.end_job(action.job)
        ended = Ended(action.outcome, failures, action.reason, None, job.cut_off(), job.error_kinds)
        job.handle.put(ended)

    def _drop(self, action: ev.Drop) -> None:
        if (job := self._jobs.get(action.job)) is not None:
            job.drop(action.block)
            self._executor.drop_result(action.job, action.block)

    def _persist(self, action: ev.Persist) -> None:
        if (job := self._jobs.get(action.job)) is not None:
            job.persist(action)

    def _attempted(self, action: ev.Attempted) -> None:
        if (job := self._jobs.get(action.job)) is not None:
            job.log_attempt(action)
