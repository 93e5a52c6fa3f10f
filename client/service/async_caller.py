"""Sends requests to the service, over connections that are kept, for asyncio."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Self

from ...shared.errors import ServiceUnreachable
from ...shared.messages import service as p
from . import requests
from .async_connection import AsyncConnection
from .endpoint import endpoint_of
from .exchange import may_repeat


class AsyncCaller:
    """The part of a client that sends requests and awaits their answers.

    Parameters
    ----------
    socket, timeout_s
        As for `AsyncClient`.
    """

    def __init__(self, socket: str | os.PathLike[str] | None = None, *, timeout_s: float = 10.0) -> None:
        self._endpoint = endpoint_of(socket)
        self._timeout_s = timeout_s
        self._idle: list[AsyncConnection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    async def ask(self, request: p.Request[p.R], patience_s: float = 0.0) -> p.R:
        """Send any request of the protocol.

        Parameters
        ----------
        request : Request
            One of the messages in `blockmill.shared.messages.service`.
        patience_s : float
            Seconds for which the request is repeated while no service answers. A request that
            must not be repeated is sent once.

        Returns
        -------
        Struct
            The answer that belongs to the class of `request`.
        """
        deadline_s = time.monotonic() + patience_s
        timeout_s = self._timeout_s + requests.wait_of(request)
        while True:
            try:
                return await self._ask_once(request, timeout_s)
            except ServiceUnreachable:
                if time.monotonic() >= deadline_s or not may_repeat(request):
                    raise
            await asyncio.sleep(requests.RETRY_S)

    async def _ask_once(self, request: p.Request[p.R], timeout_s: float) -> p.R:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = AsyncConnection(self._endpoint)
        try:
            reply = await connection.ask(request, timeout_s)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return reply
