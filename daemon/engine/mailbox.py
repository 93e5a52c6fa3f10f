"""Commands from any thread to the one that owns the engine, with a wake-up."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from typing import Any

Command = tuple[Any, ...]


class Mailbox:
    """A queue of commands that a poller can wait for.

    Once it is shut, `put` refuses; so no command is ever lost unnoticed.
    """

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._shut = False

    def fileno(self) -> int:
        """The descriptor that is readable when there is a command."""
        return self._wake

    def put(self, *command: Any) -> bool:
        """Add a command. Returns False if the mailbox is shut."""
        with self._lock:
            if self._shut:
                return False
            self._commands.append(command)
            os.eventfd_write(self._wake, 1)
            return True

    def take(self) -> list[Command]:
        """Take out all commands that are there."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            commands = list(self._commands)
            self._commands.clear()
        return commands

    def wait(self, timeout_s: float) -> list[Command]:
        """Take out all commands that are there, or that come within `timeout_s` seconds."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.poll(1000 * timeout_s)
        return self.take()

    def shut(self) -> list[Command]:
        """Accept no more commands. Returns those that nobody will carry out."""
        with self._lock:
            self._shut = True
            os.close(self._wake)
            return list(self._commands)
