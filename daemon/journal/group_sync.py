"""Syncing in groups: items that come during a sync wait, and share the next one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ...shared.errors import StorageError

_EVERY_S = 0.5
_LONGEST_PAUSE_S = 5.0
T = TypeVar("T")


class GroupSync(Generic[T]):
    """Passes items on, in order, once the file systems that they name have been synced.

    Parameters
    ----------
    sync : callable
        Brings the file system of a path to its medium.
    give : callable
        Takes each item, in a thread of this object.
    on_trouble : callable
        Told when a file system can't be synced; it is tried again, and its items wait.
    """

    def __init__(
        self, sync: Callable[[str], None], give: Callable[[T], None], on_trouble: Callable[[str], None]
    ) -> None:
        self._sync = sync
        self._give = give
        self._on_trouble = on_trouble
        self._items: list[tuple[str | None, T]] = []
        self._busy = self._urgent = False
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="group-sync", daemon=True)
        self._thread.start()

    def put(self, path: str | None, item: T) -> None:
        """Pass an item on after a sync for its path, and after all items before it.

        Parameters
        ----------
        path : str or None
            None: somebody waits for the items before, so the next sync comes at once.
        item : object
        """
        with self._changed:
            self._items.append((path, item))
            self._urgent |= path is None
            self._changed.notify()

    @property
    def empty(self) -> bool:
        """True if nothing waits here."""
        with self._changed:
            return not self._items and not self._busy

    def close(self) -> None:
        """Sync for the remaining items, pass them on, and end."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while items := self._take():
            self._sync_all({path for path, _ in items if path is not None})
            for _, item in items:
                self._give(item)
            with self._changed:
                self._busy = False
                self._changed.wait_for(lambda: self._urgent or self._closing.is_set(), _EVERY_S)

    def _take(self) -> list[tuple[str | None, T]]:
        """All items that wait; none once this is closed and empty."""
        with self._changed:
            while not self._items and not self._closing.is_set():
                self._changed.wait()
            items, self._items = self._items, []
            self._busy, self._urgent = True, False
            return items

    def _sync_all(self, paths: set[str]) -> None:
        devices: dict[int, str] = {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # an output that is gone needs no syncing
                devices[Path(path).stat().st_dev] = path
        for path in devices.values():
            self._persist(path)

    def _persist(self, path: str) -> None:
        pause_s = _EVERY_S
        while True:
            try:
                self._sync(path)
                return
            except StorageError as error:
                self._on_trouble(f"blocks are not safe from a power cut yet: {error}")
                if self._closing.wait(pause_s):
                    return
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
