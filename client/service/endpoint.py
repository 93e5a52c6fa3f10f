"""The address of a service, and the client's keys for it.

libzmq never reports that nobody listens, so `check` connects a plain socket first.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import zmq

from ...shared.config.keys import CLIENT, default_folder, load_pair, public_key
from ...shared.config.locations import find_socket
from ...shared.errors import BlockmillError, ServiceUnreachable

TCP = "tcp://"
_CONNECT_S = 3.0


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A service on this machine, which learns the client's user from the kernel."""

    path: Path
    may_refuse_key: ClassVar[bool] = False

    def __str__(self) -> str:
        return str(self.path)

    def connect(self, sock: zmq.Socket[bytes]) -> None:
        """Connect a socket of libzmq."""
        sock.connect(f"ipc://{self.path}")

    def check(self) -> None:
        """Test if a service listens.

        Raises
        ------
        ServiceUnreachable
            If none does; the message explains how to start one.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            try:
                probe.connect(os.fspath(self.path))
            except BlockingIOError:
                return  # it listens and is busy
            except PermissionError as error:
                raise ServiceUnreachable(
                    f"the service at {self.path} is not for you: {error.strerror}; are you in its group?"
                ) from error
            except OSError as error:
                why = "there is no such socket" if isinstance(error, FileNotFoundError) else error.strerror
                raise ServiceUnreachable(
                    f"no service answers at {self.path} ({why}); start one with: blockmill serve"
                ) from error

    def incarnation(self) -> object:
        """Return a value that changes when another service is started at this path; None if none listens."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_ctime_ns


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A service on the network, its public key, and the client's keys."""

    host: str
    port: int
    service_key: bytes
    own_keys: tuple[bytes, bytes]
    may_refuse_key: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"{TCP}{self.host}:{self.port}"

    def connect(self, sock: zmq.Socket[bytes]) -> None:
        """Connect a socket of libzmq."""
        sock.setsockopt(zmq.IPV6, 1)
        sock.curve_serverkey = self.service_key
        sock.curve_publickey, sock.curve_secretkey = self.own_keys
        sock.connect(str(self))

    def check(self) -> None:
        """Test if a service listens; raises what `UnixEndpoint.check` raises."""
        try:
            socket.create_connection((self.host.strip("[]"), self.port), _CONNECT_S).close()
        except OSError as error:
            why = error.strerror or str(error)
            raise ServiceUnreachable(f"no service answers at {self} ({why}); is it started?") from error

    def incarnation(self) -> object:
        """Return None: restarts of a TCP service can't be detected."""
        return None


Endpoint = UnixEndpoint | TcpEndpoint


def endpoint_of(where: str | os.PathLike[str] | None) -> Endpoint:
    """Return the endpoint for a socket's path, ``tcp://host:port``, or None for the usual service.

    For TCP the keys are files in the folder for keys: ``client.key_secret`` (another one by
    ``$BLOCKMILL_KEY``), and of the service ``services/HOST.key`` (or ``$BLOCKMILL_SERVICE_KEY``).

    Raises
    ------
    BlockmillError
        If the address is invalid, or a key is missing.
    """
    text = os.fspath(where or os.environ.get("BLOCKMILL_SOCKET") or "")
    if not text.startswith(TCP):
        return UnixEndpoint(find_socket(text or None))
    host, _, port = text.removeprefix(TCP).rpartition(":")
    if not host or not port.isdecimal():
        raise BlockmillError(f"{text} is no address of a service; give tcp://host:port")
    folder = default_folder()
    own_key_file = os.environ.get("BLOCKMILL_KEY") or folder / f"{CLIENT}.key_secret"
    service_key_file = (
        os.environ.get("BLOCKMILL_SERVICE_KEY") or folder / "services" / f"{host.strip('[]')}.key"
    )
    service_key = public_key(os.fspath(service_key_file)).encode()
    return TcpEndpoint(host, int(port), service_key, load_pair(Path(own_key_file)))
