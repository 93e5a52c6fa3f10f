"""The worker's loop: take tasks from the coordinator, compute them, reply."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections import deque
from types import FrameType
from typing import NoReturn

import psutil
import zmq

from ..shared.memory.task_counters import TaskCounters
from ..shared.messages import engine as wire
from ..shared.messages.log_trailers import trailer
from .jobs import WorkerJobs
from .owner import Owner, ProcessOwner, StaysItself
from .reply_batch import ReplyBatch

HEARTBEAT_S = 1.0
_CONNECT_POLL_MS = 50


class Terminated(BaseException):
    """SIGTERM came: unwind, so that partial files are removed, and end."""


def _heed_sigterm() -> None:
    """Unwind at SIGTERM; processes that user code forks end by it as other programs do."""
    worker = os.getpid()

    def on_sigterm(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != worker:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the unwinding must not be cut
        raise Terminated

    def after_fork() -> None:
        # A handler of Python's may wait for ever, where a child blocks just after the signal has come.
        if signal.getsignal(signal.SIGTERM) is on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, on_sigterm)
    os.register_at_fork(after_in_child=after_fork)


def _heartbeat(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoint: str,
    worker: int,
    replies: ReplyBatch,
    connected: threading.Event,
) -> None:
    process = psutil.Process()
    with context.socket(zmq.DEALER) as sock:
        sock.setsockopt(zmq.LINGER, 500)
        sock.setsockopt(zmq.IDENTITY, b"h%d" % worker)
        sock.setsockopt(zmq.IMMEDIATE, 1)  # it can be sent to once there is a connection
        sock.connect(endpoint)
        while not sock.poll(_CONNECT_POLL_MS, zmq.POLLOUT):
            if replies.ended:
                return
        connected.set()
        while replies.watch(sock.send, HEARTBEAT_S):
            sock.send(wire.encode(wire.Heartbeat(worker, process.memory_info().rss)))


class _Log:
    """The log file of all printed output; a trailer in it says which task printed the text before it."""

    def __init__(self) -> None:
        self._size_bytes = os.fstat(1).st_size

    def end(self, task: wire.Task) -> None:
        """Write the trailer that attributes the output since the last task to this one."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, OSError):  # the operation has closed or filled it
                stream.flush()
        if os.fstat(1).st_size != self._size_bytes:
            with contextlib.suppress(OSError):  # a full disk: the text has no task then
                os.write(1, trailer(task.job, task.block, task.attempt))
            self._size_bytes = os.fstat(1).st_size


class Worker:
    """One worker process: its jobs, its queue of tasks, its socket.

    Parameters
    ----------
    sock : zmq.Socket
        To the coordinator.
    replies : ReplyBatch
    counters : TaskCounters
        In shared memory: tells the coordinator which task a dead worker had begun.
    owner : Owner
        The user that this process is.
    """

    def __init__(
        self, sock: zmq.Socket[bytes], replies: ReplyBatch, counters: TaskCounters, owner: Owner
    ) -> None:
        self._sock = sock
        self._replies = replies
        self._counters = counters
        self._jobs = WorkerJobs(owner)
        self._tasks: deque[wire.Task] = deque()
        self._log = _Log()
        self._pid = os.getpid()

    def run(self) -> None:
        """Serve until the process is ended."""
        while True:
            self._receive(wait=not self._tasks)
            if self._tasks:
                task = self._tasks.popleft()
                self._counters.begin()
                reply = self._reply_to(task)
                self._log.end(task)
                may_wait = bool(self._tasks) and not self._jobs.prompt(task.job)
                self._replies.add(reply, self._sock.send, may_wait=may_wait)
                # Only now: a worker that dies of its reply has failed an attempt, and not for ever.
                self._counters.end()

    def _receive(self, wait: bool) -> None:
        """Receive all messages that have come; block for the first one if `wait`."""
        flags = 0 if wait else zmq.NOBLOCK
        while True:
            try:
                data = self._sock.recv(flags)
            except zmq.Again:
                return
            flags = zmq.NOBLOCK
            self._handle(wire.decode_to_worker(data))

    def _handle(self, message: wire.ToWorker) -> None:
        if isinstance(message, wire.Run):
            self._tasks.extend(message.tasks)
        else:
            self._jobs.handle(message)

    def _reply_to(self, task: wire.Task) -> wire.TaskDone | wire.TaskFailed:
        reply = None
        try:
            reply = self._jobs.do(task)
            return reply
        finally:
            if os.getpid() != self._pid:
                _end_child(reply)

    def close(self) -> None:
        """Close the volumes of all jobs."""
        self._jobs.close()


def _end_child(reply: wire.TaskDone | wire.TaskFailed | None) -> NoReturn:
    """End a process that user code forked and that returned from the task: its parent is the worker."""
    if isinstance(reply, wire.TaskFailed):
        print("in a forked child:", reply.error, file=sys.stderr)
    sys.stdout.flush()
    os._exit(0 if isinstance(reply, wire.TaskDone) else 1)


def run_worker(spawn: wire.Spawn, channel: socket.socket | None, lifeline_fd: int) -> int:
    """Connect, serve, and return the exit code of the process.

    Parameters
    ----------
    spawn : Spawn
    channel : socket.socket or None
        Brings descriptors from the coordinator; None: the worker stays who it is.
    lifeline_fd : int
        Read end of the coordinator's lifeline.

    Returns
    -------
    int
    """
    worker = spawn.worker
    _heed_sigterm()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    sock = context.socket(zmq.DEALER)
    sock.setsockopt(zmq.LINGER, 500)
    sock.setsockopt(zmq.IDENTITY, b"w%d" % worker)
    replies = ReplyBatch(worker)
    connected = threading.Event()
    owner = StaysItself() if channel is None else ProcessOwner(channel, lifeline_fd, connected)
    server = Worker(sock, replies, TaskCounters(spawn.counters_path), owner)
    heartbeat = threading.Thread(
        target=_heartbeat, args=(context, spawn.endpoint, worker, replies, connected), name="heartbeat"
    )
    try:
        sock.connect(spawn.endpoint)
        heartbeat.start()  # where no thread can be started, the worker is not up
        sock.send(wire.encode(wire.Hello(worker, os.getpid())))
        server.run()
    except Terminated:
        return 128 + signal.SIGTERM
    finally:
        replies.flush(sock.send)
        replies.end()
        if heartbeat.is_alive():
            heartbeat.join()
        server.close()
        sock.close()
        context.term()  # waits until the last replies are sent, at most for the linger time
    return 0
