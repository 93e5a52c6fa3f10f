"""One listening socket and its connections: which of them must go when there are too many.

libzmq accepts everybody, and alone knows who has proven who he is. So a connection is pending until a
call has come from it, or until it has outlived libzmq's time for a handshake, which ends all others; from
then on it is a client. Both are bounded for each listening socket alone, so that strangers at a port
take no place of the users of the unix socket. The origin (an address, or a user of this machine) with
the most connections loses one: its oldest pending one, which most likely will never say anything, or
its newest client.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator

import zmq
from zmq.utils.monitor import recv_monitor_message

HANDSHAKE_S = 5.0
_MARGIN_S = 1.0
_EVENTS_A_TURN = 10_000


class Places:
    """A bounded number of connections, by their descriptors.

    Parameters
    ----------
    most : int
    newest_goes : bool
        Of the origin that has the most, the newest must go; else the oldest.
    """

    def __init__(self, most: int, *, newest_goes: bool) -> None:
        self.most = most
        self._newest_goes = newest_goes
        self._origins: dict[int, tuple[Hashable, float]] = {}  # in order of arrival
        self._counts: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._origins)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._origins

    def descriptors(self) -> list[int]:
        """All of them."""
        return list(self._origins)

    def add(self, descriptor: int, origin: Hashable, now_s: float) -> None:
        """Add a connection.

        Parameters
        ----------
        descriptor : int
        origin : hashable
        now_s : float
            Monotonic time.
        """
        self.remove(descriptor)
        self._origins[descriptor] = origin, now_s
        self._counts[origin] += 1

    def origin_of(self, descriptor: int) -> Hashable:
        """The origin of one of these connections."""
        return self._origins[descriptor][0]

    def remove(self, descriptor: int) -> Hashable:
        """Forget a connection. Returns its origin, or None if it is none of these."""
        if descriptor not in self._origins:
            return None
        origin, _ = self._origins.pop(descriptor)
        self._counts[origin] -= 1
        if not self._counts[origin]:
            del self._counts[origin]
        return origin

    def older_than(self, since_s: float) -> list[int]:
        """The connections that were added before this time."""
        older = []
        for descriptor, (_, added_s) in self._origins.items():
            if added_s >= since_s:
                break
            older.append(descriptor)
        return older

    def has_room_for(self, origin: Hashable) -> bool:
        """Test if one more of this origin may come: one of another origin must go for it, if need be."""
        return len(self._origins) < self.most or self._counts[origin] < max(self._counts.values())

    def surplus(self) -> int | None:
        """The connection that must go; None if there are not too many."""
        if len(self._origins) <= self.most:
            return None
        ((greediest, _),) = self._counts.most_common(1)
        order = reversed(self._origins) if self._newest_goes else iter(self._origins)
        return next(descriptor for descriptor in order if self._origins[descriptor][0] == greediest)


class Listener:
    """One listening socket.

    Parameters
    ----------
    router : zmq.Socket
    listening : socket.socket
    endpoint : str
        As libzmq spells it.
    most_clients, most_pending : int
    on_full : callable
        Told the number of clients when one had to go.
    """

    def __init__(
        self,
        router: zmq.Socket[bytes],
        listening: socket.socket,
        endpoint: str,
        *,
        most_clients: int,
        most_pending: int,
        on_full: Callable[[int], None],
    ) -> None:
        self.router, self.listening, self.endpoint = router, listening, endpoint
        self.monitor = router.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._on_full = on_full
        self._pending = Places(most_pending, newest_goes=False)
        self._clients = Places(most_clients, newest_goes=True)
        self._waiting: dict[int, None] = {}  # pending ones that have called and are to be clients
        self._leaving: set[int] = set()  # turned away, and still there

    @property
    def connections(self) -> int:
        """Number of all connections."""
        return len(self._pending) + len(self._clients)

    def open(self) -> None:
        """Let clients in; libzmq gets a descriptor of its own, which it closes."""
        self.router.setsockopt(zmq.HANDSHAKE_IVL, int(1000 * HANDSHAKE_S))
        self.router.setsockopt(zmq.USE_FD, os.dup(self.listening.fileno()))
        self.router.bind(self.endpoint)

    def count(self, now_s: float) -> None:
        """Take note of connections that have begun and ended, and end those that are too many."""
        for _ in range(_EVENTS_A_TURN):
            if not self.monitor.poll(0):
                break
            message = recv_monitor_message(self.monitor)
            descriptor = int(message["value"])
            self._forget(descriptor, now_s)
            if message["event"] == zmq.EVENT_ACCEPTED:
                self._take(descriptor, now_s)
        for descriptor in self._pending.older_than(now_s - HANDSHAKE_S - _MARGIN_S):
            self._admit(descriptor, now_s)

    def _forget(self, descriptor: int, now_s: float) -> None:
        """Forget a connection; its place may be that of one that waits for one."""
        self._pending.remove(descriptor)
        self._clients.remove(descriptor)
        self._waiting.pop(descriptor, None)
        self._leaving.discard(descriptor)
        for waiting in list(self._waiting):
            self._admit_if_room(waiting, now_s)

    def _take(self, descriptor: int, now_s: float) -> None:
        origin = self._origin(descriptor)
        if not self._clients.has_room_for(origin):  # now, before it sends a call that would be lost
            self._on_full(self._clients.most)
            self._turn_away(descriptor)
            return
        self._pending.add(descriptor, origin, now_s)
        if (surplus := self._pending.surplus()) is not None:
            self._turn_away(surplus)

    def heard_from(self, frame: zmq.Frame) -> bool:
        """Take note that a call has come, from a connection that is a client therefore.

        Without room it gets its answer where it is, and goes soon after unless there is room then.

        Returns
        -------
        bool
            False if the connection was turned away: its call must not be carried out, for it is sent again.
        """
        now_s = time.monotonic()
        if (descriptor := _source_of(frame)) is None:
            return True
        self.count(now_s)  # it may have come this very moment, with the number of one that has gone
        if descriptor in self._pending:
            self._waiting[descriptor] = None
            self._admit_if_room(descriptor, now_s)
        return descriptor not in self._leaving

    def _admit_if_room(self, descriptor: int, now_s: float) -> None:
        if self._clients.has_room_for(self._pending.origin_of(descriptor)):
            self._admit(descriptor, now_s)

    def _admit(self, descriptor: int, now_s: float) -> None:
        self._waiting.pop(descriptor, None)
        self._clients.add(descriptor, self._pending.remove(descriptor), now_s)
        if (surplus := self._clients.surplus()) is not None:
            self._on_full(self._clients.most)
            self._turn_away(surplus)

    def turn_all_away(self) -> None:
        """End all connections."""
        for descriptor in (*self._pending.descriptors(), *self._clients.descriptors()):
            self._turn_away(descriptor)

    def _turn_away(self, descriptor: int) -> None:
        """End a surplus connection; libzmq at the other end tries again by itself."""
        self._pending.remove(descriptor)
        self._clients.remove(descriptor)
        self._waiting.pop(descriptor, None)
        self._leaving.add(descriptor)
        with contextlib.suppress(OSError), _socket_at(descriptor) as peer:
            # It may have ended by itself, and its number may be something else's by now.
            if _local_address(peer) == _local_address(self.listening):
                peer.shutdown(socket.SHUT_RDWR)

    def _origin(self, descriptor: int) -> Hashable:
        """The user at the other end of a unix socket, the address at that of another; None: it has gone."""
        with contextlib.suppress(OSError), _socket_at(descriptor) as peer:
            if self.listening.family != socket.AF_UNIX:
                return peer.getpeername()[0]
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return struct.unpack("3i", credentials)[1]
        return None

    def close(self) -> None:
        """Close the sockets."""
        self.router.disable_monitor()
        self.monitor.close(0)
        self.router.close(0)
        self.listening.close()


def _source_of(frame: zmq.Frame) -> int | None:
    """The descriptor of the connection that a frame came by; None if its other end was closed right away."""
    with contextlib.suppress(zmq.ZMQError):  # libzmq noted nothing of a peer that had gone when it looked
        descriptor = frame.get(zmq.SRCFD)
        return descriptor if isinstance(descriptor, int) else None
    return None


@contextlib.contextmanager
def _socket_at(descriptor: int) -> Iterator[socket.socket]:
    """The socket at a descriptor of libzmq's, which stays open; OSError if something else is there by now.

    A duplicate would do harm: of a file that has got the number it would hold the lock.
    """
    sock = socket.socket(fileno=descriptor)
    try:
        yield sock
    finally:
        sock.detach()


def _local_address(sock: socket.socket) -> tuple[int, object]:
    """The path of a unix socket; of a TCP socket the port alone, for it may listen at all addresses."""
    name = sock.getsockname()
    return (sock.family, name if sock.family == socket.AF_UNIX else name[1])
