"""How the files of a job are used: below the folders that it is confined to.

Confinement binds a thread for good, and user code is free to read other files of its own; so files are
used in a thread of their own then, which ends with the job.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from ..shared.messages import engine as wire
from ..shared.system.confinement import can_confine, confine_thread
from ..shared.volumes.registry import load_all

T = TypeVar("T")


class FileAccess:
    """Runs what uses the files of a job.

    Parameters
    ----------
    recipe : Recipe
    """

    def __init__(self, recipe: wire.Recipe) -> None:
        self._thread: ThreadPoolExecutor | None = None
        confinement = recipe.confinement
        if confinement is not None and confinement.data is not None and can_confine():
            load_all()  # a confined thread could not read the modules
            self._thread = ThreadPoolExecutor(1, "files", confine_thread, (confinement,))

    def run(self, use: Callable[[], T]) -> T:
        """What `use` returns or raises."""
        if self._thread is None:
            return use()
        future = self._thread.submit(use)
        try:
            return future.result()
        finally:
            wait((future,))  # also where a signal has ended the wait: what it began is to be whole

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown()
