"""The sockets of the service: a unix socket, and a TCP port where clients prove who they are.

A unix socket is made here and handed to libzmq, so that its mode and group are right from its
first moment; a socket that the service manager made is handed over in the same way. The connections of
each are bounded (`listener`), because libzmq ends the process when it runs out of file descriptors. A
client beyond the bound is disconnected, and libzmq on its side tries again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zmq
from zmq.auth.thread import ThreadAuthenticator

from ...shared.errors import Refused
from ...shared.system.impersonation import group_number, may_act
from ...shared.units import format_size
from .clients.keyring import NOBODY, Keyring
from .clients.listener import Listener
from .clients.memory_guard import MemoryGuard
from .settings import Settings

_BACKLOG = 128
_MOST_PENDING = 128
_FILES_OF_JOBS = 256
_OWN_FILES = 64
_FILES_A_WORKER = 4
_FILES_OF_OWNERS = 2  # for each worker that becomes a job's owner
_LEAST_CLIENTS = 8
_WARN_EVERY_S = 10.0
_CALLS_A_TURN = 1000
"""Most calls handled at a time, so that a client that never stops calling can't block the service."""
_MOST_WAITING = 100
"""Most calls and answers of one client that wait; further answers are dropped, further calls stay with it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """The origin of a call, and so the address of its answer; `uid` is the caller's account."""

    listener: Listener
    route: bytes
    uid: int


class Sockets:
    """All listening sockets of a service, and the poller that its main thread waits with.

    Parameters
    ----------
    settings : Settings
    inherited : list of socket.socket
        Listening sockets from the service manager; if there are none, they are made here.

    Raises
    ------
    Refused
        If a socket can't be made as it is configured.
    """

    def __init__(self, settings: Settings, inherited: list[socket.socket]) -> None:
        self._settings = settings
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._authenticator: ThreadAuthenticator | None = None
        self._keyring: Keyring | None = None
        self._listeners: list[Listener] = []
        self._room = connections_for(settings)
        self._last_warning_s = -_WARN_EVERY_S
        self._memory_guard = MemoryGuard()
        self._path: Path | None = None
        try:
            self._make(inherited)
        except BaseException:
            self.close()
            raise

    def _make(self, inherited: list[socket.socket]) -> None:
        for listening in inherited or [self._unix_socket()]:
            endpoint = f"ipc://{listening.getsockname()}" if listening.family == socket.AF_UNIX else ""
            if not endpoint:
                raise Refused(
                    "a socket that the service manager gave is no unix socket; use ListenStream=/path"
                )
            self._add(listening, endpoint, curve=False)
        if self._settings.tcp.listen is not None:
            self._keyring = Keyring(self._settings.keys_dir)
            self._keyring.check()  # before anything listens
            listening = _tcp_socket(self._settings.tcp.listen)
            host, port = listening.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            self._authenticate()
            self._add(listening, f"tcp://{host}:{port}", curve=True)
            _log.info("listening on tcp://%s:%d for the keys in %s", host, port, self._keyring.folder)

    def _add(self, listening: socket.socket, endpoint: str, *, curve: bool) -> None:
        router = self._context.socket(zmq.ROUTER)
        router.linger = 0
        router.set_hwm(_MOST_WAITING)
        router.setsockopt(zmq.MAXMSGSIZE, self._settings.limits.message)
        if curve:
            assert self._keyring is not None
            router.setsockopt(zmq.IPV6, 1)
            router.curve_server = True
            router.curve_publickey, router.curve_secretkey = self._keyring.service_keys()
        most_clients, most_pending = self._room
        listener = Listener(
            router,
            listening,
            endpoint,
            most_clients=most_clients,
            most_pending=most_pending,
            on_full=self._warn_full,
        )
        self._listeners.append(listener)
        listener.open()
        for source in (router, listener.monitor):
            self._poller.register(source, zmq.POLLIN)

    def _unix_socket(self) -> socket.socket:
        self._path = self._settings.socket
        return unix_socket(self._path, self._settings.access.group)

    def _authenticate(self) -> None:
        """Have libzmq ask the keyring which clients may connect."""
        self._authenticator = ThreadAuthenticator(self._context, log=_log)
        self._authenticator.start()
        self._authenticator.configure_curve_callback("*", self._keyring)

    # -- waiting and receiving --------------------------------------------------------

    def register(self, descriptor: int) -> None:
        """Wait for this descriptor, too."""
        self._poller.register(descriptor, zmq.POLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Return when there is something to do, or after `timeout_ms`."""
        self._poller.poll(timeout_ms)
        for listener in self._listeners:
            listener.count(time.monotonic())
        if (growth_bytes := self._memory_guard.exceeded(time.monotonic())) is not None:
            self._turn_all_away(growth_bytes)

    def _turn_all_away(self, growth_bytes: int) -> None:
        """End all connections: one of them may send a message without end, and it is unknown which."""
        _log.warning(
            "this process has grown by %s; in case a client sends without end, the connections of all %d "
            "clients are ended; they come again by themselves",
            *(format_size(growth_bytes), sum(listener.connections for listener in self._listeners)),
        )
        for listener in self._listeners:
            listener.turn_all_away()

    def _warn_full(self, clients: int) -> None:
        if (now_s := time.monotonic()) >= self._last_warning_s + _WARN_EVERY_S:
            self._last_warning_s = now_s
            _log.warning("%d clients are connected, the most allowed; further ones wait", clients)

    def calls(self) -> Iterator[tuple[Peer, list[bytes]]]:
        """Calls that have come, a bounded number at a time: sender and frames."""
        for listener in self._listeners:
            for _ in range(_CALLS_A_TURN):
                try:
                    route, *frames = listener.router.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                if frames and not listener.heard_from(frames[-1]):
                    continue
                uid = self._account(listener, frames[-1]) if frames else NOBODY
                yield Peer(listener, route.bytes, uid), [frame.bytes for frame in frames]

    def _account(self, listener: Listener, frame: zmq.Frame) -> int:
        """The account of a call: over TCP that of the client's key, over a unix socket the peer's user.

        The listener decides which of the two properties is read: a client may claim anything in a property
        that libzmq did not set itself.
        """
        try:
            if listener.listening.family != socket.AF_UNIX:
                assert self._keyring is not None
                return self._keyring.account_of(_property(frame, "User-Id"))
            return int(_property(frame, "Peer-Address").split(":")[-3])
        except (ValueError, IndexError):
            return NOBODY

    def send(self, peer: Peer, data: bytes) -> None:
        """Send an answer. It is dropped if the peer does not read its answers; the peer asks again then.

        Parameters
        ----------
        peer : Peer
        data : bytes
            The encoded answer.
        """
        with contextlib.suppress(zmq.Again):
            peer.listener.router.send_multipart((peer.route, data), zmq.NOBLOCK)

    def close(self) -> None:
        """Close all listeners, and remove the socket that was made here."""
        for listener in self._listeners:
            listener.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.term()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _property(frame: zmq.Frame, name: str) -> str:
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""


def unix_socket(path: Path, group: str | None) -> socket.socket:
    """Make a listening socket at `path`; a dead one there is replaced.

    Its folder is made for its users alone, and refused if others may write to it.

    Parameters
    ----------
    path : Path
    group : str or None
        A group that may connect, besides the owner.

    Returns
    -------
    socket.socket

    Raises
    ------
    Refused
        If that can't be done.
    """
    number = None if group is None else group_number(group)
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid not in (0, os.getuid()):
            raise Refused(f"{folder}, where the socket is to lie, is another user's; give another --socket")
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            raise Refused(
                f"everybody may write to {folder}, where the socket is to lie; give another --socket"
            )
        if number is not None and status.st_uid == os.getuid():
            os.chown(folder, -1, number)
            folder.chmod(0o750)
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old_umask = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(old_umask)
        if number is not None:
            os.chown(path, -1, number)
            path.chmod(0o660)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise Refused(f"the socket {path} can't be made: {error.strerror}") from error
    return listening


def _tcp_socket(endpoint: str) -> socket.socket:
    host, _, port = endpoint.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal():
        raise Refused(f"tcp.listen: {endpoint} is no address; give host:port, such as 127.0.0.1:5640")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise Refused(f"tcp.listen: {endpoint} can't be listened at: {error}") from error


def connections_for(settings: Settings) -> tuple[int, int]:
    """Most clients and most pending connections of each listening socket, for which there are descriptors.

    The limit of open files is raised before, as far as it may be.

    Raises
    ------
    Refused
        If the service could not work with so few open files.
    """
    _, file_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (file_limit, file_limit))
    if file_limit == resource.RLIM_INFINITY:
        file_limit = 1 << 20
    workers = settings.worker_count
    listening = 1 if settings.tcp.listen is None else 2
    own = _OWN_FILES + (_FILES_A_WORKER + _FILES_OF_OWNERS * may_act()) * workers
    needed = own + 2 * listening * _LEAST_CLIENTS
    if file_limit < needed:
        raise Refused(
            f"this process may open {file_limit} files, and a service with {workers} workers needs {needed}; "
            f"raise the limit (ulimit -n {needed}; in a unit LimitNOFILE={needed}), or start fewer workers"
        )
    spare = max(own, min(own + _FILES_OF_JOBS, file_limit // 2))
    room = (file_limit - spare) // listening
    pending = min(_MOST_PENDING, room // 2)
    requested, clients = settings.limits.connections, min(settings.limits.connections, room - pending)
    if clients < requested:
        _log.warning(
            "limits.connections: %d do not fit into %d open files; %d are let in",
            *(requested, file_limit, clients),
        )
    return clients, pending
