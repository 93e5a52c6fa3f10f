"""The common parts of connections for threads and for asyncio.

They number calls, recognise answers to old calls, turn refusals into errors, and decide when a call is
sent again. Only the sockets differ between the two.
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
_RESEND_S = 2.0


class Exchange:
    """One call at a time: the bytes of the request, and its reply."""

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
                if error.version > p.VERSION
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
    """The error for a service that listens and does not answer.

    Parameters
    ----------
    endpoint : Endpoint
    timeout_s : float
        Length of the wait in seconds.

    Returns
    -------
    ServiceUnreachable
    """
    return ServiceUnreachable(
        f"the service at {endpoint} has not answered within {timeout_s:g} s; it may be hung: "
        "look at its log, or end it and start it again (its jobs go on)"
    )


def may_repeat(request: p.Request[p.R]) -> bool:
    """Test if a request can be sent again although it may have been carried out."""
    return not isinstance(request, _NOT_TWICE)


class Resending:
    """Decides when a request is sent again: the service may have ended its connection.

    A service turns clients away while too many are there, and libzmq reconnects without a word. A
    service that was started again knows no requests from before.
    """

    def __init__(self, request: p.Request[Any], endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._there = endpoint.incarnation()
        self._pause_s = _RESEND_S
        # What the service may hold back is no silence.
        self._next_s = time.monotonic() + getattr(request, "wait_s", 0.0) + _RESEND_S
        self._may = may_repeat(request)

    def due(self) -> bool:
        """True if it is time; later each time, but at once if another service listens now."""
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


def open_socket(endpoint: Endpoint) -> zmq.Socket[bytes]:
    """A connected socket for one thread at a time."""
    sock: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    sock.linger = 0
    endpoint.connect(sock)
    return sock


def close_socket(sock: zmq.Socket[bytes]) -> None:
    """Close a socket of `open_socket`."""
    sock.close()


def open_async_socket(endpoint: Endpoint) -> zmq.asyncio.Socket:
    """A connected socket for one task at a time of an event loop."""
    import zmq.asyncio  # late: only those who use asyncio pay for it

    sock = zmq.asyncio.Context().socket(zmq.DEALER)
    sock.linger = 0
    endpoint.connect(cast("zmq.Socket[bytes]", sock))
    return sock


def close_async_socket(sock: zmq.asyncio.Socket) -> None:
    """Close a socket of `open_async_socket`, and the context that it has for itself."""
    context = sock.context
    sock.close()
    with contextlib.suppress(zmq.ZMQError):
        context.term()
