"""The executor of this machine: worker processes, the socket between them and the engine's thread."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import zmq

from ....shared.errors import WireError
from ....shared.messages import engine as wire
from ....shared.messages.records import WorkerInfo
from ..api import Answered, Died, News, Printed, Remark, Up, WorkerLimits
from ..outbox import Envelope
from ..shared_memory import SharedMemoryExecutor
from .health import WorkerHealth
from .nursery import NurseryProcess
from .post_mortem import Death
from .run_dir import run_dir
from .supervisor import Supervisor

_CARE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWorkers:
    """The workers that are asked for.

    Attributes
    ----------
    count : int
        Number of worker processes.
    nursery : callable
        Starts the nursery of the workers.
    limits : WorkerLimits
        Limits of each worker.
    memory_bytes : int or None
        Memory limit of all workers together.
    become_owners : bool
        Each worker becomes the owner of its first job, where the job says who that is.
    """

    count: int
    nursery: Callable[[], NurseryProcess] = NurseryProcess
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    memory_bytes: int | None = None
    become_owners: bool = False


class LocalExecutor(SharedMemoryExecutor):
    """Worker processes of this machine; see `api.Executor` for what the methods do.

    Parameters
    ----------
    workers : LocalWorkers
    """

    def __init__(self, workers: LocalWorkers) -> None:
        super().__init__()
        self.count = workers.count
        self.become_owners = workers.become_owners
        self._asked = workers
        self._resources = contextlib.ExitStack()
        self._stopping = False
        self._next_care_s = 0.0

    # -- life -----------------------------------------------------------------------

    def start(self) -> None:
        """Open the socket for the workers, and start their nursery."""
        folder = self._resources.enter_context(run_dir())
        context: zmq.Context[zmq.Socket[bytes]] = self._resources.enter_context(zmq.Context())
        self._router = self._resources.enter_context(context.socket(zmq.ROUTER))
        self._router.linger = 0
        self._router.router_mandatory = True
        endpoint = f"ipc://{folder}/workers"
        self._router.bind(endpoint)
        asked = self._asked
        self._supervisor = Supervisor(
            asked.count, endpoint, folder, asked.nursery, asked.limits, become_owners=self.become_owners
        )
        self._resources.callback(self._supervisor.close)
        self._health = WorkerHealth(self._supervisor, self._jobs, self._outbox, asked.memory_bytes)
        self._poller = zmq.Poller()
        self._poller.register(self._router, zmq.POLLIN)
        self._poller.register(self._supervisor.fileno(), zmq.POLLIN)

    def wait(self, descriptor: int, timeout_s: float) -> None:
        """Wait for a message, a death, or the descriptor."""
        if descriptor not in self._poller:
            self._poller.register(descriptor, zmq.POLLIN)
        self._poller.poll(round(1000 * timeout_s))

    def stop(self, now_s: float) -> None:
        """Give every worker its time of grace to unwind; those that exceed it are killed."""
        self._stopping = True
        for worker in list(self._supervisor.workers):
            self._supervisor.kill(worker, "the engine closes", now_s)

    @property
    def alive(self) -> bool:
        """True while some worker process is known to run."""
        return self._supervisor.alive

    def close(self) -> None:
        """End the nursery with what still runs, and release all memory."""
        try:
            self._resources.close()
        finally:
            self._release_memory()

    # -- news -----------------------------------------------------------------------

    def news(self, now_s: float) -> Iterator[News]:
        """Yield messages, then deaths, then decisions about workers."""
        yield from self._messages()
        for death in self._supervisor.deaths(now_s):
            yield self._died(death)
        if self._stopping:
            self._supervisor.enforce(now_s)
            return
        if now_s >= self._next_care_s:
            self._next_care_s = now_s + _CARE_S
            self._care(now_s)
        yield from self._health.news()
        self._health.retire_idle(now_s)

    def _messages(self) -> Iterator[News]:
        while True:
            try:
                sender, data = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = wire.decode_from_worker(data)
            except WireError as error:
                yield Remark(f"a worker sent nonsense: {error}")
                continue
            if sender[1:] != b"%d" % message.worker:  # user code of one owner must not speak for another's
                self._supervisor.kill(int(sender[1:]), "spoke for another worker", time.monotonic(), 0)
                continue
            if (news := self._news_of(message)) is not None:
                yield news

    def _news_of(self, message: wire.FromWorker) -> News | None:
        now_s = time.monotonic()
        match message:
            case wire.TaskReplies(worker=worker, replies=replies):
                self._supervisor.seen(worker, now_s)
                for reply in replies:
                    self._outbox.note_reply(worker, wire.Lease(reply.job, reply.block, reply.attempt))
                self._health.count_replies(worker, len(replies))
                return Answered(worker, replies)
            case wire.Heartbeat(worker=worker, rss_bytes=rss):
                self._supervisor.seen(worker, now_s, rss)
            case wire.Hello(worker=worker, pid=pid, version=version):
                if version != wire.VERSION:
                    reason = f"speaks protocol {version}, the engine {wire.VERSION}: mixed installations?"
                    self._supervisor.kill(worker, reason, now_s, 0)
                elif (process := self._supervisor.seen(worker, now_s)) is not None:
                    process.is_up(pid)
                    if process.at_work:  # else it is to end already
                        return Up(worker)
        return None

    def _died(self, death: Death) -> Died:
        """The news of a death, with the attempt that the worker was in.

        That is known from the worker's counter, not from its replies, which may have died with it.
        """
        running = self._outbox.forget(death.worker, death.running)
        self._health.forget(death.worker)
        out_of_memory = death.post_mortem.out_of_memory
        return Died(death.worker, death.reason, death.was_up, running, out_of_memory)

    def _care(self, now_s: float) -> None:
        self._supervisor.fill(now_s)
        self._supervisor.enforce(now_s)
        for worker, reason in self._supervisor.frozen_workers(now_s):
            self._supervisor.kill(worker, reason, now_s, 0)
        self._health.tick(now_s)

    def output(self) -> Iterable[Printed]:
        """Return the lines that workers have printed, each with its attempt if that is known."""
        for line in self._supervisor.output():
            lease = line.lease or self._outbox.lease_of(line.worker, line.running)
            lease = lease if self._is_of_user(lease, line.uid) else None
            yield Printed(line.worker, line.text, lease, line.uid)

    def _is_of_user(self, lease: wire.Lease | None, uid: int | None) -> bool:
        """Test if an attempt is at a block of a user's job: the user's code may name any other."""
        job = self._jobs.get(lease.job) if lease is not None else None
        if job is None:  # it ended a moment before its last lines came
            return uid is None
        identity = job.recipe.identity
        return uid == (None if identity is None else identity.uid)

    def workers(self, now_s: float) -> tuple[WorkerInfo, ...]:
        """Return all workers with their current tasks."""
        return self._health.workers(now_s)

    # -- orders ---------------------------------------------------------------------

    def assign(self, worker: int, lease: wire.Lease, *, alone: bool) -> None:
        """Send a block to a worker with the next `flush`."""
        self._outbox.add(worker, lease)
        if alone:
            self._health.works_alone(worker, lease)

    def kill(self, worker: int, reason: str, grace_s: float) -> None:
        """Send SIGTERM, and SIGKILL after the time of grace."""
        self._outbox.withdraw(worker)
        self._supervisor.kill(worker, reason, time.monotonic(), grace_s)

    def replace(self, worker: int) -> None:
        """Let a worker finish its tasks, and then start another one in its place."""
        self._health.replace(worker, "the next job is another user's", time.monotonic())

    def set_count(self, count: int) -> None:
        """Set the number of workers."""
        self.count = count
        self._health.set_count(count)

    def set_limits(self, limits: WorkerLimits, memory_bytes: int | None) -> None:
        """Change the memory limits."""
        self._health.set_limits(limits, memory_bytes)

    def _living(self) -> Collection[int]:
        return self._supervisor.workers

    def _send(self, envelopes: Iterable[Envelope]) -> None:
        for envelope in envelopes:
            worker, message = envelope.worker, envelope.message
            if type(message) is not wire.Run and (message := self._adapted(worker, message)) is None:
                continue
            try:
                self._router.send_multipart((b"w%d" % worker, wire.encode(message)), zmq.NOBLOCK)
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                # It has just died and has no route any more; its death is on the way to us.

    def _adapted(self, worker: int, message: wire.Message) -> wire.Message | None:
        """A message about a job or memory as the worker's user needs it; None if the worker ends instead."""
        process = self._supervisor.workers.get(worker)
        if process is None:
            return message
        if isinstance(message, wire.Prepare) and message.recipe.identity is not None:
            process.becomes(message.recipe.identity.uid)
        if isinstance(message, wire.MapSegment):
            try:
                return process.hand_over(message)
            except OSError as error:
                self._supervisor.kill(worker, f"takes no shared memory: {error}", time.monotonic(), 0)
                return None
        return message
