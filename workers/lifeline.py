"""The pipe that ends workers with their coordinator, however that ends and whatever they are doing."""

from __future__ import annotations

import fcntl
import os
import select
import signal


def tie_to(lifeline_fd: int) -> None:
    """Have the kernel kill this whole process group when the other end of the pipe closes.

    It kills those processes that this one may signal at the time of this call.
    """
    fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline_fd, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(lifeline_fd, fcntl.F_GETFL)
    fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    poller = select.poll()
    poller.register(lifeline_fd)
    if any(events & select.POLLHUP for _, events in poller.poll(0)):  # it closed before the kernel was asked
        os.killpg(0, signal.SIGKILL)


def reopened(lifeline_fd: int) -> int:
    """A descriptor of the same pipe that has flags and a recipient of signals of its own."""
    return os.open(f"/proc/self/fd/{lifeline_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
