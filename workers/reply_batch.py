"""Sends replies to the coordinator; those of very short blocks go several at a time.

A reply waits for others only while there is more to do, and never long: if the next block
turns out to be a long one, the heartbeat thread sends the replies that wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..shared.messages import engine as wire

Send = Callable[[bytes], object]

_MAX_REPLIES = 16
_SHORT_S = 0.0005
_MAX_WAIT_S = 0.002
_POLL_S = 0.02


class ReplyBatch:
    """The replies of one worker that have not been sent."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._waiting: list[wire.TaskReply] = []
        self._since_s = 0.0
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self.ended = False

    def add(self, reply: wire.TaskReply, send: Send, *, may_wait: bool) -> None:
        """Send a reply, now or together with others.

        Parameters
        ----------
        reply : TaskReply
        send : callable
            Sends a message of bytes.
        may_wait : bool
            The worker has more to do, so a reply to a short block may be sent later.
        """
        short = may_wait and isinstance(reply, wire.TaskDone) and reply.seconds < _SHORT_S
        now_s = time.monotonic()
        with self._lock:
            waiting = self._waiting
            if not waiting:
                self._since_s = now_s
            waiting.append(reply)
            if short and len(waiting) < _MAX_REPLIES and now_s - self._since_s < _MAX_WAIT_S:
                if not self._filled.is_set():
                    self._filled.set()
                return
            self._send(send)

    def flush(self, send: Send) -> None:
        """Send all that waits."""
        with self._lock:
            self._send(send)

    def _send(self, send: Send) -> None:
        if self._waiting:
            send(wire.encode(wire.TaskReplies(self._worker, self._waiting)))
            self._waiting = []

    def watch(self, send: Send, timeout_s: float) -> bool:
        """Send replies that have waited too long; called by a thread with its own socket.

        Parameters
        ----------
        send : callable
            Sends a message of bytes.
        timeout_s : float
            Return after about this time.

        Returns
        -------
        bool
            False when the worker ends.
        """
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0 and not self.ended:
            if self._filled.wait(left_s) and not self.ended:
                time.sleep(_POLL_S)
                self._filled.clear()
                with self._lock:
                    if self._waiting and time.monotonic() - self._since_s > _MAX_WAIT_S:
                        self._send(send)
                    elif self._waiting:
                        self._filled.set()
        return not self.ended

    def end(self) -> None:
        """Let `watch` return."""
        self.ended = True
        self._filled.set()
