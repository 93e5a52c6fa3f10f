"""The end of a worker, with all details."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from ....shared.units import format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class PostMortem:
    """The facts about a worker's death.

    Attributes
    ----------
    worker, pid : int
    exit_code : int
        Minus the signal's number if a signal ended it.
    peak_rss_bytes : int
        Most resident memory that it ever had.
    limit_bytes : int or None
        Its memory limit.
    reason : str
        The reason why the engine ended it; empty if the engine did not.
    log : str
        The last lines that it printed.
    out_of_memory : bool
    kernel_killed : bool
        True if the kernel has killed for want of memory meanwhile.
    """

    worker: int
    pid: int
    exit_code: int
    peak_rss_bytes: int
    limit_bytes: int | None = None
    reason: str = ""
    log: str = ""
    out_of_memory: bool = False
    kernel_killed: bool = False

    @property
    def signal(self) -> str:
        """Name of the signal that ended it; empty if none did."""
        return signal_name(-self.exit_code) if self.exit_code < 0 else ""

    def text(self) -> str:
        """One paragraph for people."""
        how = f"was killed by {self.signal}" if self.signal else f"ended with exit code {self.exit_code}"
        if self.kernel_killed:
            how += " (the machine was out of memory)"
        elif self.exit_code == -signal.SIGKILL and not self.reason:
            how += " (out of memory, or by hand)"
        if self.reason:
            how = f"{self.reason}: {how}"
        allowed = f" of {format_size(self.limit_bytes)} allowed" if self.limit_bytes is not None else ""
        peak = f"peak memory {format_size(self.peak_rss_bytes)}{allowed}"
        text = f"worker {self.worker} (pid {self.pid}) {how}; {peak}"
        return f"{text}; its last lines:\n{self.log}" if self.log else text


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker, with all details."""

    worker: int
    reason: str
    was_up: bool
    running: int | None  # which of the tasks sent to it, counted from 1; None: it was in none
    post_mortem: PostMortem


def signal_name(number: int) -> str:
    """Name of a signal, such as SIGKILL; of a real-time signal its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
