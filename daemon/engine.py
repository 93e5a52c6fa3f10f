"""The engine: carries out what the coordinator decides, with sockets and processes.

One thread owns everything here: the ROUTER socket that workers connect to, the supervisor,
the coordinator. Other threads reach it through a queue of commands and a wake-up, and get
items through `JobHandle`. It is the same engine in a caller's process and in the daemon.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq

from ..shared import wire
from ..shared.errors import EngineError, WireError
from . import events as ev
from .coordinator import Coordinator
from .handle import Ended, JobHandle, Notice
from .rundir import make_run_dir
from .supervisor import GRACE_S, Death, Supervisor
from .work import EngineJob, Order, RoiList

_TICK_S = 0.2
_TICK_MS = 200


class Engine:
    """Worker processes and the thread that feeds them.

    Parameters
    ----------
    workers : int, optional
        Number of worker processes; default: the processors that this process may use.
    preload : iterable of str
        Modules imported once for all workers, before they are forked.

    Use it as a context manager, or call `close`: workers, shared memory and the private
    folder go away with it. If this process dies in any way, the kernel ends the workers.
    """

    def __init__(self, workers: int | None = None, preload: Iterable[str] = ()) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self._commands: deque[tuple[Any, ...]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._numbers = itertools.count(1)
        self._loop = _Loop(self.workers, tuple(preload), self._commands, self._wake)
        self._thread = threading.Thread(target=self._loop.run, name="blockmill-engine", daemon=True)
        self._closed = False
        self._thread.start()

    def submit(self, order: Order) -> JobHandle:
        """Start a job.

        Returns
        -------
        JobHandle
            To take its results and its end from, in any one thread.
        """
        if self._closed:
            raise EngineError("this engine is closed; make a new one")
        job = EngineJob(f"j{next(self._numbers)}", order, self._tell, self._loop.segment_numbers)
        self._tell("submit", job)
        return job.handle

    def close(self) -> None:
        """Cancel what runs, end the workers, remove all that the engine made."""
        if self._closed:
            return
        self._closed = True
        self._tell("close")
        self._thread.join()
        os.close(self._wake)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, verb: str, *args: Any) -> None:
        self._commands.append((verb, *args))
        if self._thread.is_alive():
            os.eventfd_write(self._wake, 1)


class _Loop:
    """The engine's thread: messages and deaths in, events to the coordinator, actions out."""

    def __init__(
        self, workers: int, preload: tuple[str, ...], commands: deque[tuple[Any, ...]], wake: int
    ) -> None:
        self.segment_numbers = itertools.count(1)
        self._workers = workers
        self._preload = preload
        self._commands = commands
        self._wake = wake
        self._core = Coordinator(least_credit=1)
        self._jobs: dict[str, EngineJob] = {}
        self._outbox: dict[int, list[wire.Task]] = defaultdict(list)
        self._attached: dict[int, set[int]] = defaultdict(set)  # worker -> segments
        self._dead: list[Death] = []
        self._closing = False
        self._next_tick_s = 0.0
        self._carry_out = {
            ev.Assign: self._assign,
            ev.Merge: self._merge,
            ev.Drop: self._drop,
            ev.Persist: lambda action: None,  # an embedded engine keeps no journal
            ev.Kill: self._kill,
            ev.Finish: self._finish,
            ev.Notify: self._notify,
            ev.Reject: self._reject,
        }

    # -- life -----------------------------------------------------------------------

    def run(self) -> None:
        """Serve until closed; whatever goes wrong ends every job loudly."""
        run_dir = make_run_dir()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            with context.socket(zmq.ROUTER) as self._router:
                self._router.linger = 0
                self._router.router_mandatory = True
                self._serve(run_dir)
        except BaseException as error:  # noqa: BLE001 - a job must never wait for a dead engine
            self._fail_all(f"{type(error).__name__}: {error}", error)
        finally:
            context.term()
            shutil.rmtree(run_dir, ignore_errors=True)

    def _serve(self, run_dir: Path) -> None:
        endpoint = f"ipc://{run_dir}/workers"
        self._router.bind(endpoint)
        self._supervisor = Supervisor(self._workers, endpoint, run_dir, self._preload)
        try:
            poller = zmq.Poller()
            for source in (self._router, self._wake, self._supervisor.fileno()):
                poller.register(source, zmq.POLLIN)
            while not self._closing:
                poller.poll(0 if self._dead else _TICK_MS)
                self._turn()
            self._end_workers()
        finally:
            self._supervisor.close()

    def _turn(self) -> None:
        """Take in all news of one wake-up, then send what follows from it."""
        lost, self._dead = self._dead, []  # told one turn later: their last answers come first
        self._take_messages()
        for death in lost:
            self._bury(death)
        now_s = time.monotonic()
        self._dead.extend(self._supervisor.news(now_s))
        self._take_commands()
        if now_s >= self._next_tick_s:
            self._tick(now_s)
        self._flush()

    def _tick(self, now_s: float) -> None:
        self._next_tick_s = now_s + _TICK_S
        self._feed(ev.Tick(now_s))
        self._supervisor.fill(now_s)
        self._supervisor.enforce(now_s)
        for worker in self._supervisor.frozen(now_s):
            self._supervisor.kill(worker, "frozen: no sign of life, no processor time", now_s, 0)

    def _end_workers(self) -> None:
        """Give every worker its grace to unwind, then go on; the supervisor kills the rest."""
        for worker in list(self._supervisor.workers):
            self._supervisor.kill(worker, "the engine closes", time.monotonic())
        deadline_s = time.monotonic() + 2 * GRACE_S
        poller = zmq.Poller()
        poller.register(self._supervisor.fileno(), zmq.POLLIN)
        while self._supervisor.workers and (now_s := time.monotonic()) < deadline_s:
            poller.poll(20)
            for death in self._supervisor.news(now_s):
                self._bury(death)
            self._supervisor.enforce(now_s)
        self._fail_all("the engine was closed", None)

    def _fail_all(self, text: str, error: BaseException | None) -> None:
        for job in self._jobs.values():
            job.handle.put(Ended("failed", cause=text, error=error))
            job.close()
        self._jobs.clear()
        for verb, *args in self._commands:
            if verb == "submit":
                args[0].handle.put(Ended("failed", cause=text, error=error))

    # -- in -------------------------------------------------------------------------

    def _take_messages(self) -> None:
        while True:
            try:
                *_, data = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = wire.decode_from_worker(data)
            except WireError as error:
                self._tell_all(f"a worker sent nonsense: {error}")
                continue
            self._hear(message)

    def _hear(self, message: wire.FromWorker) -> None:
        now_s = time.monotonic()
        match message:
            case wire.Answers(worker=worker, answers=answers):
                self._supervisor.heard(worker, now_s)
                for answer in answers:
                    self._take_answer(worker, answer)
            case wire.Heartbeat(worker=worker, rss_bytes=rss):
                self._supervisor.heard(worker, now_s, rss)
            case wire.Hello(worker=worker, version=version):
                if version != wire.VERSION:
                    why = f"speaks protocol {version}, the engine {wire.VERSION}: mixed installations?"
                    self._supervisor.kill(worker, why, now_s, 0)
                elif (known := self._supervisor.heard(worker, now_s)) is not None:
                    known.up = True
                    self._feed(ev.Ready(worker))

    def _take_answer(self, worker: int, answer: wire.Done | wire.Failed) -> None:
        if not self._core.holds(worker, answer.job, answer.block, answer.attempt):
            return  # late or doubled: the coordinator has already given the block elsewhere
        self._jobs[answer.job].out.discard(answer.block)
        if isinstance(answer, wire.Done):
            self._jobs[answer.job].count(answer)
            self._feed(ev.Done(worker, answer.job, answer.block, answer.attempt, answer.seconds))
        else:
            error = f"{answer.error}\n{answer.traceback}".rstrip()
            self._feed(ev.Failed(worker, answer.job, answer.block, answer.attempt, error, answer.retry))

    def _bury(self, death: Death) -> None:
        self._outbox.pop(death.worker, None)
        self._attached.pop(death.worker, None)
        if death.was_up:
            self._feed(ev.Lost(death.worker, death.reason))

    def _take_commands(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._commands:
            verb, *args = self._commands.popleft()
            getattr(self, f"_command_{verb}")(*args)

    def _command_submit(self, job: EngineJob) -> None:
        order = job.order
        self._jobs[job.name] = job
        self._feed(
            ev.Submit(
                job.name,
                len(order.blocks),
                retries=order.retries,
                on_error=order.on_error,
                merge=order.merge_dtype is not None,
                max_open=order.max_open,
                parallel_merges=order.parallel_merges,
                ordered=order.ordered,
                done=order.done or None,
                sealed=order.sealed,
                block_timeout_s=order.block_timeout_s,
            )
        )

    def _command_extend(self, name: str, rois: list[Any], sealed: bool) -> None:
        if (job := self._jobs.get(name)) is not None:
            assert isinstance(job.order.blocks, RoiList)
            job.order.blocks.extend(rois)
            self._feed(ev.Extend(name, len(rois), sealed))

    def _command_merged(self, name: str, block: int) -> None:
        if name in self._jobs:
            self._feed(ev.Merged(name, block))

    def _command_merge_failed(self, name: str, block: int, error: str) -> None:
        if name in self._jobs:
            self._feed(ev.MergeFailed(name, block, error))

    def _command_cancel(self, name: str) -> None:
        if name in self._jobs:
            self._feed(ev.Cancel(name))

    def _command_close(self) -> None:
        for name in list(self._jobs):
            self._feed(ev.Cancel(name))
        self._closing = True

    # -- out ------------------------------------------------------------------------

    def _feed(self, event: ev.Event) -> None:
        for action in self._core.handle(event):
            self._carry_out[type(action)](action)

    def _assign(self, action: ev.Assign) -> None:
        task = self._jobs[action.job].task(action.block, action.attempt)
        self._outbox[action.worker].append(task)

    def _merge(self, action: ev.Merge) -> None:
        job = self._jobs[action.job]
        job.handle.put(job.result(action.block))

    def _kill(self, action: ev.Kill) -> None:
        self._outbox.pop(action.worker, None)
        self._supervisor.kill(action.worker, action.reason, time.monotonic())

    def _finish(self, action: ev.Finish) -> None:
        job = self._jobs.pop(action.job)
        self._core.forget(action.job)
        failures = [(b, job.order.blocks.roi_of(b), reason) for b, reason in action.failed]
        segments = job.close()
        for worker in job.knowing & self._supervisor.workers.keys():
            self._send(worker, wire.Forget(job.name, segments))
        cut_off = [job.order.blocks.roi_of(block) for block in job.out]
        job.handle.put(Ended(action.outcome, failures, action.reason, interrupted=cut_off))

    def _drop(self, action: ev.Drop) -> None:
        if (job := self._jobs.get(action.job)) is not None:
            job.drop(action.block)

    def _notify(self, action: ev.Notify) -> None:
        if (job := self._jobs.get(action.job)) is None:
            return
        what = "is tried again" if action.kind == "retry" else "is given up"
        job.handle.progress.retries += action.kind == "retry"
        roi = job.order.blocks.roi_of(action.block)
        job.handle.put(Notice(f"block {roi} {what}: {action.reason}"))

    def _reject(self, action: ev.Reject) -> None:
        if (job := self._jobs.get(action.job)) is not None:
            job.handle.put(Notice(action.reason))

    def _tell_all(self, text: str) -> None:
        for job in self._jobs.values():
            job.handle.put(Notice(text))

    def _flush(self) -> None:
        """Send the tasks of this turn, one message a worker, after what they need to be known."""
        for worker, tasks in self._outbox.items():
            for task in tasks:
                self._introduce(worker, task)
            self._send(worker, wire.Run(tasks))
        self._outbox.clear()

    def _introduce(self, worker: int, task: wire.Task) -> None:
        job = self._jobs[task.job]
        if worker not in job.knowing:
            job.knowing.add(worker)
            self._send(worker, wire.Prepare(job.name, job.order.recipe))
        if task.slot is not None and task.slot.segment not in self._attached[worker]:
            self._attached[worker].add(task.slot.segment)
            self._send(worker, job.attachment(task.slot))

    def _send(self, worker: int, message: wire.Message) -> None:
        # A worker that just died has no route any more; its death is on the way to us.
        with contextlib.suppress(zmq.ZMQError):
            self._router.send_multipart((b"w%d" % worker, wire.encode(message)), zmq.NOBLOCK)
