"""The service manager: messages to systemd, and the sockets from it (sd_notify(3), sd_listen_fds(3)).

Without a service manager that started the process, nothing here has an effect.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

_FIRST_INHERITED_FD = 3
_STATUS_EVERY_S = 1.0


class Systemd:
    """Reports the state of the service, and that it lives, to the service manager."""

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")  # not for workers
        self._watchdog_s = _watchdog_s()
        self._next_heartbeat_s = 0.0
        self._next_status_s = 0.0
        self._status = ""

    def ready(self) -> None:
        """Report that clients are served."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Report that the service is ending."""
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """Report that the configuration is being read again; call `ready` afterwards."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def turn(self, now_s: float, status: str) -> None:
        """Report that the service lives, as often as the manager expects, and its state once a second.

        Parameters
        ----------
        now_s : float
        status : str
            The state in a line, for people.
        """
        if self._watchdog_s and now_s >= self._next_heartbeat_s:
            self._next_heartbeat_s = now_s + self._watchdog_s / 3
            self._send("WATCHDOG=1")
        if status != self._status and now_s >= self._next_status_s:
            self._next_status_s, self._status = now_s + _STATUS_EVERY_S, status
            self._send(f"STATUS={status}")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with (
            contextlib.suppress(OSError),  # a manager that is gone needs no telling
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.connect(address)
            sock.sendall(text.encode())


def _watchdog_s() -> float:
    """Seconds within which the manager expects a sign of life; 0: it expects none."""
    interval_us, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
    if pid not in ("", str(os.getpid())) or not interval_us.isdecimal():
        return 0.0
    return int(interval_us) / 1e6


def inherited_sockets() -> list[socket.socket]:
    """The listening sockets that the manager made for this process; workers do not inherit them."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    numbers = range(_FIRST_INHERITED_FD, _FIRST_INHERITED_FD + int(count))
    for number in numbers:
        os.set_inheritable(number, False)
    return [socket.socket(fileno=number) for number in numbers]
