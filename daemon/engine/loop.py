"""The dispatcher: carries out the coordinator's decisions, with sockets and processes.

One thread owns everything here: the ROUTER socket that workers connect to, the supervisor,
the coordinator. Messages, deaths and commands come in as events, actions go out.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from ...shared.errors import WireError
from ...shared.memory.arena import Arenas
from ...shared.messages import engine as wire
from ...shared.messages.records import WorkerInfo
from ...shared.outside_text import error_text
from ..executors.api import WorkerLimits
from ..executors.local.health import WorkerHealth
from ..executors.local.nursery import NurseryProcess
from ..executors.local.outbox import Envelope, Outbox
from ..executors.local.run_dir import run_dir
from ..executors.local.supervisor import GRACE_S, Death, Supervisor
from ..scheduling import events as ev
from ..scheduling.coordinator import Coordinator
from .handle import Ended, Notice
from .job import EngineJob, RoiList
from .mailbox import Mailbox
from .notices import Notices

_TICK_S = 0.2
_TICK_MS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The configuration of an engine.

    Attributes
    ----------
    workers : int
        Number of worker processes.
    nursery : callable
        Starts the nursery of the workers.
    limits : WorkerLimits
        Limits of each worker.
    memory_bytes : int or None
        Memory limit of all workers together.
    """

    workers: int
    nursery: Callable[[], NurseryProcess] = NurseryProcess
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The engine at its last tick: workers, how many of them may be busy, and True if all is quiet."""

    workers: tuple[WorkerInfo, ...] = ()
    allowed: int = 0
    quiet: bool = True
    time_s: float = 0.0  # monotonic


class Dispatcher:
    """The engine's thread: messages and deaths in, events to the coordinator, actions out."""

    def __init__(self, config: EngineConfig, mailbox: Mailbox) -> None:
        self.segment_numbers = itertools.count(1)
        self.arenas = Arenas(self.segment_numbers)
        self.view = View(allowed=config.workers)
        self.cause = "the engine was closed"  # why it has ended, once it has
        self.ended = False  # set before any job is told so: who asks then must not be told that it lives
        self._config = config
        self._mailbox = mailbox
        self._core = Coordinator(least_credit=1)
        self._jobs: dict[str, EngineJob] = {}
        self._outbox = Outbox(self._jobs)
        self._notices = Notices(self._jobs, self._outbox)
        self._closing = False
        self._grace_s = GRACE_S
        self._next_tick_s = 0.0
        self._carry_out: dict[type, Callable[[Any], None]] = {
            ev.Assign: self._assign,
            ev.Merge: self._merge,
            ev.Drop: self._drop,
            ev.Persist: self._persist,
            ev.Attempted: self._attempted,
            ev.Kill: self._kill,
            ev.Finish: self._finish,
            ev.Notify: self._notices.notify,
            ev.Reject: self._notices.reject,
        }

    # -- life -----------------------------------------------------------------------

    def run(self) -> None:
        """Serve until closed; any error ends every job loudly."""
        error: BaseException | None = None
        try:
            with run_dir() as folder, zmq.Context() as context, context.socket(zmq.ROUTER) as self._router:
                self._router.linger = 0
                self._router.router_mandatory = True
                self._serve(folder)
        except BaseException as fatal:  # noqa: BLE001 - a job must never wait for a dead engine
            self.cause = f"the engine broke down: {error_text(fatal)}"
            error = fatal
        self.ended = True
        self._fail_all(self.cause, error)

    def _serve(self, folder: Path) -> None:
        endpoint = f"ipc://{folder}/workers"
        self._router.bind(endpoint)
        config = self._config
        self._supervisor = Supervisor(config.workers, endpoint, folder, config.nursery, config.limits)
        self._health = WorkerHealth(self._supervisor, self._core, self._jobs, self._feed, config.memory_bytes)
        self._feed(ev.Expect(config.workers))
        try:
            poller = zmq.Poller()
            for source in (self._router, self._mailbox.fileno(), self._supervisor.fileno()):
                poller.register(source, zmq.POLLIN)
            while not self._closing:
                poller.poll(_TICK_MS)
                self._turn()
            self._end_workers()
        finally:
            self._supervisor.close()

    def _turn(self) -> None:
        """Take in all news of one wake-up, then send the actions that follow."""
        self._take_messages()
        now_s = time.monotonic()
        for death in self._supervisor.deaths(now_s):
            self._forget_worker(death)
        self._take_commands()
        if now_s >= self._next_tick_s:
            self._tick(now_s)
        for envelope in self._outbox.envelopes():
            self._send(envelope)

    def _tick(self, now_s: float) -> None:
        self._next_tick_s = now_s + _TICK_S
        self._feed(ev.Tick(now_s))
        self._supervisor.fill(now_s)
        self._supervisor.enforce(now_s)
        self._notices.relay(self._supervisor.output())
        for worker, reason in self._supervisor.frozen_workers(now_s):
            self._supervisor.kill(worker, reason, now_s, 0)
        self._health.tick(now_s)
        for name in self._jobs:
            self._count(name)
        self.view = View(self._health.workers(now_s), self._health.allowed, self._core.quiet, now_s)

    def _count(self, name: str) -> None:
        """Copy the coordinator's totals to where the submitter sees them."""
        counts, totals = self._core.counts(name), self._jobs[name].handle.progress
        totals.running, totals.failed, totals.retries = counts.running, counts.failed, counts.retries

    def _end_workers(self) -> None:
        """Give every worker its time of grace to unwind; the supervisor kills those that exceed it."""
        for worker in list(self._supervisor.workers):
            self._supervisor.kill(worker, "the engine closes", time.monotonic())
        deadline_s = time.monotonic() + 2 * GRACE_S
        poller = zmq.Poller()
        poller.register(self._supervisor.fileno(), zmq.POLLIN)
        while self._supervisor.alive and (now_s := time.monotonic()) < deadline_s:
            poller.poll(20)
            for death in self._supervisor.deaths(now_s):
                self._forget_worker(death)
            self._supervisor.enforce(now_s)

    def _fail_all(self, cause: str, error: BaseException | None) -> None:
        for verb, *args in self._mailbox.shut():
            if verb == "submit":
                self._jobs[args[0].name] = args[0]
        for job in self._jobs.values():
            job.close()
            job.handle.put(Ended("failed", cause=cause, error=error, interrupted=job.cut_off()))
        self._jobs.clear()
        self.arenas.close()

    # -- in -------------------------------------------------------------------------

    def _take_messages(self) -> None:
        while True:
            try:
                _, data = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = wire.decode_from_worker(data)
            except WireError as error:
                self._notices.send_to_all(Notice(f"a worker sent nonsense: {error}"))
                continue
            self._handle_message(message)

    def _handle_message(self, message: wire.FromWorker) -> None:
        now_s = time.monotonic()
        match message:
            case wire.TaskReplies(worker=worker, replies=replies):
                self._supervisor.seen(worker, now_s)
                self._take_replies(worker, replies)
            case wire.Heartbeat(worker=worker, rss_bytes=rss):
                self._supervisor.seen(worker, now_s, rss)
            case wire.Hello(worker=worker, version=version):
                if version != wire.VERSION:
                    reason = f"speaks protocol {version}, the engine {wire.VERSION}: mixed installations?"
                    self._supervisor.kill(worker, reason, now_s, 0)
                elif (process := self._supervisor.seen(worker, now_s)) is not None:
                    process.up = True
                    if process.at_work:  # else it is to end already
                        self._feed(ev.Ready(worker))

    def _take_replies(self, worker: int, replies: list[wire.TaskReply]) -> None:
        holds = self._core.holds
        # The other replies are late or doubled. The coordinator would ignore them, but what is noted of
        # the job and of the worker's tasks belongs to another lease by now.
        open_replies = [reply for reply in replies if holds(worker, reply.job, reply.block, reply.attempt)]
        self._health.count_replies(worker, len(open_replies))
        self._act(self._core.handle_all([self._event_of(worker, reply) for reply in open_replies]))

    def _event_of(self, worker: int, reply: wire.TaskReply) -> ev.Event:
        name, block, attempt = reply.job, reply.block, reply.attempt
        job = self._jobs[name]
        self._outbox.note_reply(worker, wire.Lease(name, block, attempt))
        job.leased_blocks.discard(block)
        if isinstance(reply, wire.TaskDone):
            job.keep_reply(reply)
            if reply.note:
                job.handle.put(Notice(reply.note))
            return ev.Done(worker, name, block, attempt, reply.seconds)
        if reply.kind:
            job.error_kinds[block] = reply.kind
        return ev.Failed(worker, name, block, attempt, reply.error, reply.retry, reply.memory)

    def _forget_worker(self, death: Death) -> None:
        """Report a death to the coordinator, with the lease that the worker was doing.

        That lease is known from the worker's counter, not from its replies, which may have died with it.
        """
        running_lease = self._outbox.forget(death.worker, death.running)
        self._health.forget(death.worker)
        if death.was_up:
            leases = [wire.Lease(a.job, a.block, a.attempt) for a in self._core.leases(death.worker)]
            is_open = running_lease is not None and running_lease in leases
            running = leases.index(running_lease) if running_lease is not None and is_open else -1
            memory = death.post_mortem.out_of_memory
            self._feed(ev.Lost(death.worker, death.reason, running, memory))

    def _take_commands(self) -> None:
        for verb, *args in self._mailbox.take():
            getattr(self, f"_command_{verb}")(*args)

    def _command_submit(self, job: EngineJob) -> None:
        self._jobs[job.name] = job
        try:
            self._feed(job.submission())
        except ValueError as error:  # a spec that makes no sense concerns its submitter alone
            del self._jobs[job.name]
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
        for envelope in self._outbox.release(segment):
            self._send(envelope)

    def _command_set_workers(self, count: int) -> None:
        self._feed(ev.Expect(count))
        self._health.set_count(count)

    def _command_set_limits(self, limits: WorkerLimits, memory_bytes: int | None) -> None:
        self._health.set_limits(limits, memory_bytes)

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
        try:
            task = self._jobs[action.job].task(action.block, action.attempt)
        except OSError as error:  # no memory or no file descriptor left for a result
            reason = f"no place for the result: {error}"
            self._feed(ev.Failed(action.worker, action.job, action.block, action.attempt, reason, False))
        else:
            self._outbox.add(action.worker, task)

    def _merge(self, action: ev.Merge) -> None:
        job = self._jobs[action.job]
        job.merging_blocks.add(action.block)
        job.handle.put(job.result(action.block))

    def _kill(self, action: ev.Kill) -> None:
        self._outbox.withdraw(action.worker)
        self._supervisor.kill(action.worker, action.reason, time.monotonic(), self._grace_s)

    def _finish(self, action: ev.Finish) -> None:
        self._notices.relay(self._supervisor.output())  # what was printed comes before the end
        self._count(action.job)
        job = self._jobs.pop(action.job)
        self._core.forget(action.job)
        failures = [(b, job.spec.blocks.roi_of(b), reason) for b, reason in action.failed]
        segments = job.close()
        for envelope in self._outbox.end_job(job, segments, self._supervisor.workers):
            self._send(envelope)
        ended = Ended(action.outcome, failures, action.reason, None, job.cut_off(), job.error_kinds)
        job.handle.put(ended)

    def _drop(self, action: ev.Drop) -> None:
        if (job := self._jobs.get(action.job)) is not None:
            job.drop(action.block)

    def _persist(self, action: ev.Persist) -> None:
        if (job := self._jobs.get(action.job)) is not None:
            job.persist(action)

    def _attempted(self, action: ev.Attempted) -> None:
        if (job := self._jobs.get(action.job)) is not None:
            job.log_attempt(action)

    def _send(self, envelope: Envelope) -> None:
        try:
            self._router.send_multipart(
                (b"w%d" % envelope.worker, wire.encode(envelope.message)), zmq.NOBLOCK
            )
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            # It has just died and has no route any more; its death is on the way to us.
