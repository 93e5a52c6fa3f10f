"""The client's end of the service's socket, for threads and for asyncio.

What both share is in `Exchange`: numbering calls, telling an answer from an old one, turning a
refusal into an error.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Any, cast

import zmq

from ...shared.errors import BlockmillError, JobError, NoSuchJob, Refused, ServiceUnreachable
from ...shared.messages import service as p
from .endpoint import Endpoint

if TYPE_CHECKING:
    import zmq.asyncio

_REFUSALS: dict[str, type[BlockmillError]] = {
    "no_such_job": NoSuchJob,
    "bad_job": JobError,
    "refused": Refused,
    "protocol": Refused,
    "broken": BlockmillError,
}
_NOT_TWICE = (p.RetryJob,)
_POLL_MS = 1000
_RESEND_S = 2.0


class Exchange:
    """One call at a time: its bytes, and what comes back."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._number = 0

    def call(self, request: p.Request[p.R]) -> bytes:
        """The bytes of a new call."""
        self._number = next(self._numbers)
        return p.encode(p.Call(p.VERSION, self._number, cast("p.AnyRequest", request)))

    def reply(self, data: bytes) -> p.Reply | None:
        """The reply in an answer; None for an answer to an earlier call.

        Raises
        ------
        BlockmillError
            If the request was refused.
        """
        try:
            answer = p.decode_answer(data)
        except p.OtherVersion as error:
            older = (
                "this client is"
                if error.theirs > p.VERSION
                else "the service is; start it again, its jobs go on"
            )
            raise Refused(f"the service can't be talked to: {error} ({older})") from error
        refused = isinstance(answer.reply, p.Refusal)
        # What the service could not read it refuses without knowing its number.
        if answer.number != self._number and not (refused and answer.number == 0):
            return None
        if isinstance(answer.reply, p.Refusal):
            raise _REFUSALS[answer.reply.kind](answer.reply.message)
        return answer.reply


def silent(endpoint: Endpoint, timeout_s: float) -> ServiceUnreachable:
    """The error for a service that listens and does not answer."""
    return ServiceUnreachable(
        f"the service at {endpoint} has not answered within {timeout_s:g} s; it may be hung: "
        "look at its log, or end it and start it again (its jobs go on)"
    )


def may_repeat(request: p.Request[p.R]) -> bool:
    """Whether a request that may have been met can be sent again."""
    return not isinstance(request, _NOT_TWICE)


class Resending:
    """When a request is sent again: it may have been lost with a connection that the service ended.

    A service turns clients away while too many are there, and libzmq comes back without a word. One that
    was started again knows nothing of what the one before it was asked.
    """

    def __init__(self, request: p.Request[Any], endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._there = endpoint.incarnation()
        self._pause_s = _RESEND_S
        # What the service may hold back is no silence.
        self._next_s = time.monotonic() + getattr(request, "wait_s", 0.0) + _RESEND_S
        self._may = may_repeat(request)

    def due(self) -> bool:
        """Whether it is time; later each time, but at once where another service listens now."""
        if not self._may:
            return False
        before, self._there = self._there, self._endpoint.incarnation()
        if self._there != before:
            return True
        if time.monotonic() < self._next_s:
            return False
        self._pause_s *= 2
        self._next_s = time.monotonic() + self._pause_s
        return True


class Connection:
    """A connection for one thread at a time.

    Parameters
    ----------
    endpoint : Endpoint
        Where the service is.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._exchange = Exchange()
        self._socket: zmq.Socket[bytes] | None = None

    def _open(self) -> zmq.Socket[bytes]:
        if self._socket is None:
            sock: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
            sock.linger = 0
            self.endpoint.connect(sock)
            self._socket = sock
        return self._socket

    def ask(self, request: p.Request[p.R], timeout_s: float) -> p.R:
        """Send a request and wait for its reply.

        Raises
        ------
        ServiceUnreachable
            If nobody listens, or no answer comes in time.
        BlockmillError
            If the request is refused.
        """
        self.endpoint.check()
        sock = self._open()
        call = self._exchange.call(request)
        with contextlib.suppress(zmq.Again):  # there may be no way to it at the moment
            sock.send(call, zmq.NOBLOCK)
        deadline_s, again = time.monotonic() + timeout_s, Resending(request, self.endpoint)
        while (left_s := deadline_s - time.monotonic()) > 0:
            if not sock.poll(int(min(_POLL_MS, 1000 * left_s))):
                self._check()
                if again.due():
                    with contextlib.suppress(zmq.Again):  # who was not let in must not wait here for ever
                        sock.send(call, zmq.NOBLOCK)
                continue
            if (reply := self._exchange.reply(sock.recv())) is not None:
                return cast("p.R", reply)
        self.close()
        raise silent(self.endpoint, timeout_s)

    def _check(self) -> None:
        """Nothing has come for a while: a service that has died will not answer any more."""
        try:
            self.endpoint.check()
        except ServiceUnreachable:
            self.close()
            raise

    def close(self) -> None:
        """Close it; the next request opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class AsyncConnection:
    """The same for one task at a time of an event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._exchange = Exchange()
        self._context: zmq.asyncio.Context | None = None
        self._socket: zmq.asyncio.Socket | None = None

    def _open(self) -> zmq.asyncio.Socket:
        import zmq.asyncio  # late: only those who use asyncio pay for it

        if self._socket is None:
            self._context = self._context or zmq.asyncio.Context()
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.linger = 0
            self.endpoint.connect(cast("zmq.Socket[bytes]", self._socket))
        return self._socket

    async def ask(self, request: p.Request[p.R], timeout_s: float) -> p.R:
        """Send a request and wait for its reply; errors as of `Connection.ask`."""
        self.endpoint.check()
        sock = self._open()
        call = self._exchange.call(request)
        with contextlib.suppress(zmq.Again):  # there may be no way to it at the moment
            await sock.send(call, zmq.NOBLOCK)
        deadline_s, again = time.monotonic() + timeout_s, Resending(request, self.endpoint)
        while (left_s := deadline_s - time.monotonic()) > 0:
            if not await sock.poll(int(min(_POLL_MS, 1000 * left_s))):
                try:
                    self.endpoint.check()
                except ServiceUnreachable:
                    self.drop()
                    raise
                if again.due():
                    with contextlib.suppress(zmq.Again):  # who was not let in must not wait here for ever
                        await sock.send(call, zmq.NOBLOCK)
                continue
            if (reply := self._exchange.reply(await sock.recv())) is not None:
                return cast("p.R", reply)
        self.drop()
        raise silent(self.endpoint, timeout_s)

    def drop(self) -> None:
        """Close the socket; the next request opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Close it for good."""
        self.drop()
        if self._context is not None:
            with contextlib.suppress(zmq.ZMQError):
                self._context.term()
            self._context = None
