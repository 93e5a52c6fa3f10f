"""Ctrl-C as a flag: the run reads it between blocks, so no block is interrupted."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupt:
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets a flag; a second one raises at once.

    SIGHUP comes once from the kernel and once from the shell when a terminal closes, so it counts as the
    first one alone; under ``nohup`` it is ignored, and stays so.

    Outside the main thread this does nothing, since signals don't arrive there.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._came = False
        self._old_handlers: dict[int, object] = {}

    def came(self) -> bool:
        """True if a signal has come."""
        return self._came

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._came and signum != signal.SIGHUP:
            raise KeyboardInterrupt
        self._came = True

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            heeded = [n for n in self._SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
            self._old_handlers = {number: signal.signal(number, self._note) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
