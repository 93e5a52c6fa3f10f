"""The worker's loop: take tasks from the coordinator, do them, answer."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from types import FrameType

import psutil
import zmq

from ..shared import wire
from ..shared.arena import Segment
from ..shared.errors import BlockmillError, JobError, MissingBlock
from .task import PreparedJob

HEARTBEAT_S = 1.0
_ANSWER_DELAY_S = 0.002


class Terminated(BaseException):
    """SIGTERM came: unwind, so that what is half-done is removed, and end."""


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the unwinding must not be cut
    raise Terminated


def _beat(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, worker: int, stop: threading.Event) -> None:
    process = psutil.Process()
    with context.socket(zmq.DEALER) as sock:
        sock.linger = 0
        sock.connect(endpoint)
        while not stop.wait(HEARTBEAT_S):
            sock.send(wire.encode(wire.Heartbeat(worker, process.memory_info().rss)))


class Worker:
    """One worker process: its jobs, its shared memory, its queue of tasks."""

    def __init__(self, number: int, sock: zmq.Socket[bytes]) -> None:
        self._number = number
        self._sock = sock
        self._jobs: dict[str, PreparedJob] = {}
        self._segments: dict[int, Segment] = {}
        self._tasks: deque[wire.Task] = deque()
        self._answers: list[wire.Done | wire.Failed] = []
        self._answered_at_s = 0.0
        self._stopping = False

    def run(self) -> None:
        """Serve until told to stop and out of tasks."""
        while self._tasks or not self._stopping:
            self._receive(wait=not self._tasks)
            if self._tasks:
                self._answers.append(self._do(self._tasks.popleft()))
                self._answer()

    def _receive(self, wait: bool) -> None:
        """Take in all messages that are there; block for the first one if `wait`."""
        flags = 0 if wait else zmq.NOBLOCK
        while True:
            try:
                data = self._sock.recv(flags)
            except zmq.Again:
                return
            flags = zmq.NOBLOCK
            self._obey(wire.decode_to_worker(data))

    def _obey(self, message: wire.ToWorker) -> None:
        match message:
            case wire.Run():
                self._tasks.extend(message.tasks)
            case wire.Prepare():
                self._jobs[message.job] = PreparedJob(message.recipe)
            case wire.Attach():
                self._segments[message.segment] = Segment(message.nbytes, message.path)
            case wire.Forget():
                self._forget(message)
            case wire.Stop():
                self._stopping = True

    def _forget(self, message: wire.Forget) -> None:
        if (job := self._jobs.pop(message.job, None)) is not None:
            job.close()
        for number in message.segments:
            self._segments.pop(number, None)

    def _do(self, task: wire.Task) -> wire.Done | wire.Failed:
        started_s = time.monotonic()
        try:
            segment = None if task.slot is None else self._segments[task.slot.segment]
            outcome = self._jobs[task.job].do(task, segment)
        except Exception as error:  # noqa: BLE001 - whatever a block raises is its answer
            return _failure(task, error)
        return wire.Done(task.job, task.block, task.attempt, time.monotonic() - started_s, *outcome)

    def _answer(self) -> None:
        """Send the answers, several at once while tiny tasks are still waiting."""
        now_s = time.monotonic()
        if self._tasks and now_s - self._answered_at_s < _ANSWER_DELAY_S:
            return
        self._sock.send(wire.encode(wire.Answers(self._number, self._answers)))
        self._answers, self._answered_at_s = [], now_s

    def close(self) -> None:
        """Close the volumes of all jobs."""
        for job in self._jobs.values():
            job.close()


def _failure(task: wire.Task, error: Exception) -> wire.Failed:
    """The answer that carries an error; what would fail the same way again is not retried."""
    known = isinstance(error, BlockmillError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    trace = "" if known else "".join(traceback.format_exception(error))
    retry = not isinstance(error, JobError | MissingBlock)
    return wire.Failed(task.job, task.block, task.attempt, text, trace, retry)


def run_worker(endpoint: str, worker: int) -> int:
    """Connect, serve, and return the exit code of the process."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    sock = context.socket(zmq.DEALER)
    sock.setsockopt(zmq.LINGER, 500)
    sock.setsockopt(zmq.IDENTITY, b"w%d" % worker)
    server = Worker(worker, sock)
    stop_beating = threading.Event()
    beat = threading.Thread(target=_beat, args=(context, endpoint, worker, stop_beating), name="heartbeat")
    try:
        sock.connect(endpoint)
        sock.send(wire.encode(wire.Hello(worker, os.getpid())))
        beat.start()
        server.run()
    except Terminated:
        print("ended by SIGTERM", file=sys.stderr)
        return 128 + signal.SIGTERM
    finally:
        stop_beating.set()
        if beat.is_alive():
            beat.join()
        server.close()
        sock.close()
        context.term()  # waits until the last answers are out, at most for the linger time
    return 0
