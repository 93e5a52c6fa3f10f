"""The common base of connections for threads and for asyncio.

It numbers calls, recognises answers to old calls, turns refusals into errors, and decides when a call is
sent again. Only the sockets differ between the two.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import zmq
from zmq.utils.monitor import recv_monitor_message

from ...shared.errors import ServiceUnreachable, WireError
from ...shared.messages import service as p
from .endpoint import Endpoint
from .versions import refusal_error, reply_of, unreadable_answer

if TYPE_CHECKING:
    import zmq.asyncio

_NOT_REPEATABLE = (p.RetryJob, p.RemoveJobs)
_RESEND_S = 2.0
_EVENTS = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_numbers = itertools.count()


class Exchange:
    """One call at a time: the bytes of the request, and its reply."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._number = 0

    def call(self, request: p.Request[p.R]) -> bytes:
        """Encode a new call."""
        self._number = next(self._numbers)
        return p.encode(p.Call.of(self._number, cast("p.AnyRequest", request)))

    def reply(self, data: bytes) -> p.Reply | None:
        """Return the reply in an answer, or None if it answers an earlier call.

        Raises
        ------
        BlockmillError
            If the request was refused.
        """
        try:
            answer = p.decode_answer(data)
        except WireError as error:
            raise unreadable_answer(error) or error from error
        refused = isinstance(answer.reply, p.Refusal)
        # The service refuses a call that it can't decode with number 0.
        if answer.number != self._number and not (refused and answer.number == 0):
            return None
        if isinstance(answer.reply, p.Refusal):
            raise refusal_error(answer.reply, answer.software)
        return reply_of(answer)


class Departures:
    """Counts how often the service ends the connection of a socket, which libzmq makes again without a word.

    A context manager; it counts from the first `watch` on.

    Parameters
    ----------
    sock : zmq.Socket or zmq.asyncio.Socket
    """

    def __init__(self, sock: zmq.Socket[bytes] | zmq.asyncio.Socket) -> None:
        self._socket = sock
        self._monitor: zmq.Socket[bytes] | None = None
        self.ended = 0
        self.key_refused = False

    def watch(self) -> None:
        """Begin to count, if this was not begun before: most calls are answered before that is needed."""
        if self._monitor is None:
            # A number that no other has: an address stays taken for a moment after its socket is closed.
            address = f"inproc://departures-{next(_numbers)}"
            self._socket.monitor(address, _EVENTS)
            plain: zmq.Context[zmq.Socket[bytes]] = zmq.Context.shadow(self._socket.context.underlying)
            self._monitor = plain.socket(zmq.PAIR)
            self._monitor.linger = 0
            self._monitor.connect(address)
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self.ended += event == zmq.EVENT_DISCONNECTED
            self.key_refused |= event == zmq.EVENT_HANDSHAKE_FAILED_AUTH

    def __enter__(self) -> Departures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._monitor is not None:
            with contextlib.suppress(zmq.ZMQError):  # the socket may have been closed meanwhile
                self._socket.disable_monitor()
            self._monitor.close()


def no_answer_error(endpoint: Endpoint, timeout_s: float, departures: Departures) -> ServiceUnreachable:
    """Make the error for a service that listens and does not answer.

    Parameters
    ----------
    endpoint : Endpoint
    timeout_s : float
        Length of the wait in seconds.
    departures : Departures
        How often the service has ended the connection meanwhile.

    Returns
    -------
    ServiceUnreachable
    """
    departures.watch()
    if departures.key_refused:
        return ServiceUnreachable(
            f"the service at {endpoint} does not take this client's key; an administrator adds it there "
            "with: blockmill keys allow FILE --account NAME"
        )
    if departures.ended:
        return ServiceUnreachable(
            f"the service at {endpoint} has turned this client away for {timeout_s:g} s, as it does while "
            "too many clients are connected (limits.connections in its configuration); try again later"
        )
    return ServiceUnreachable(
        f"the service at {endpoint} has not answered within {timeout_s:g} s; it may be hung: "
        "look at its log, or end it and start it again (its jobs go on)"
    )


def may_repeat(request: p.Request[p.R]) -> bool:
    """Test if a request can be sent again although it may have been carried out."""
    return not isinstance(request, _NOT_REPEATABLE)


class ResendTimer:
    """Decides when a request is sent again, since the service may have closed its connection.

    A service turns clients away while it has too many, and libzmq reconnects without a report. A
    service that was restarted knows no earlier requests.

    Parameters
    ----------
    request : Request
    endpoint : Endpoint
    """

    def __init__(self, request: p.Request[Any], endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._incarnation = endpoint.incarnation()
        self._ended = 0
        self._pause_s = _RESEND_S
        # The service may hold the answer back for `wait_s`.
        self._next_s = time.monotonic() + getattr(request, "wait_s", 0.0) + _RESEND_S
        self._repeatable = may_repeat(request)

    def due(self, departures: Departures) -> bool:
        """Test if the request is to be sent again: at growing intervals, and where it was lost.

        It was lost if the service has been started anew, or has ended the connection.

        Parameters
        ----------
        departures : Departures

        Returns
        -------
        bool
        """
        if not self._repeatable:
            return False
        old, self._incarnation = self._incarnation, self._endpoint.incarnation()
        ended, self._ended = self._ended, departures.ended
        if self._incarnation != old or self._ended != ended:
            return True
        if time.monotonic() < self._next_s:
            return False
        self._pause_s *= 2
        self._next_s = time.monotonic() + self._pause_s
        return True


def open_socket(endpoint: Endpoint) -> zmq.Socket[bytes]:
    """Open a connected socket for one thread at a time."""
    sock: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    sock.linger = 0
    endpoint.connect(sock)
    return sock


def close_socket(sock: zmq.Socket[bytes]) -> None:
    """Close a socket of `open_socket`."""
    sock.close()


def open_async_socket(endpoint: Endpoint) -> zmq.asyncio.Socket:
    """Open a connected socket for one task at a time of an event loop."""
    import zmq.asyncio  # late: only users of asyncio pay for it

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
