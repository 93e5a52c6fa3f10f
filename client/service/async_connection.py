"""The client's end of the service's socket, for asyncio."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, cast

import zmq

from ...shared.errors import ServiceUnreachable
from ...shared.messages import service as p
from .endpoint import Endpoint
from .exchange import (
    Departures,
    Exchange,
    ResendTimer,
    close_async_socket,
    no_answer_error,
    open_async_socket,
)

if TYPE_CHECKING:
    import zmq.asyncio

_POLL_MS = 1000


class AsyncConnection:
    """A connection for one task at a time.

    Parameters
    ----------
    endpoint : Endpoint
        The service's address.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._exchange = Exchange()
        self._socket: zmq.asyncio.Socket | None = None
        self._pid = 0

    def _open(self) -> zmq.asyncio.Socket:
        # A child that this process has forked must not use its parent's socket.
        if self._socket is None or self._pid != os.getpid():
            self._socket, self._pid = open_async_socket(self.endpoint), os.getpid()
        return self._socket

    async def ask(self, request: p.Request[p.R], timeout_s: float) -> p.R:
        """Send a request and wait for its reply.

        Parameters
        ----------
        request : Request
        timeout_s : float
            Longest wait for the reply, in seconds.

        Returns
        -------
        Struct
            The answer that belongs to the class of `request`.

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
        with contextlib.suppress(zmq.Again):  # the connection may be down at the moment
            await sock.send(call, zmq.NOBLOCK)
        deadline_s, resending = time.monotonic() + timeout_s, ResendTimer(request, self.endpoint)
        with Departures(sock) as departures:
            if self.endpoint.may_refuse_key:
                departures.watch()
            while (left_s := deadline_s - time.monotonic()) > 0:
                if not await sock.poll(int(min(_POLL_MS, 1000 * left_s))):
                    departures.watch()
                    self._check()
                    if resending.due(departures):
                        with contextlib.suppress(zmq.Again):  # the service may have turned this client away
                            await sock.send(call, zmq.NOBLOCK)
                    continue
                reply = self._exchange.reply(await sock.recv())
                if reply is not None:
                    return cast("p.R", reply)
            error = no_answer_error(self.endpoint, timeout_s, departures)
        self.close()
        raise error

    def _check(self) -> None:
        """Check that the service still listens; raise ServiceUnreachable if it does not."""
        try:
            self.endpoint.check()
        except ServiceUnreachable:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        if self._socket is not None and self._pid == os.getpid():
            close_async_socket(self._socket)
        self._socket = None
