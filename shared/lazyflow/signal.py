"""An ordered signal: callbacks are called in the order in which they subscribed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any


class OrderedSignal:
    """Callbacks, called one after another in the emitting thread, in subscription order.

    An emit works on a snapshot: a callback that is added meanwhile waits for the next
    emit. The first exception ends the emit and reaches the emitter.

    Parameters
    ----------
    hide_cancellation_exceptions : bool
        Ignore a `concurrent.futures.CancelledError` of a callback and go on with the emit.
    """

    def __init__(self, hide_cancellation_exceptions: bool = False) -> None:
        self._hidden = (CancelledError,) if hide_cancellation_exceptions else ()
        self._callbacks: dict[Callable[..., Any], dict[str, Any]] = {}

    def subscribe(self, callback: Callable[..., Any], **kwargs: Any) -> None:
        """Add `callback`; one that is already there moves to the end.

        Parameters
        ----------
        callback : callable
            Hashable. Called with the positional arguments of each emit and `kwargs`.
        **kwargs
            Bound to this subscription; they replace those of an earlier one.
        """
        self._callbacks.pop(callback, None)
        self._callbacks[callback] = kwargs

    def unsubscribe(self, callback: Callable[..., Any]) -> None:
        """Remove `callback`; nothing happens where it is absent."""
        self._callbacks.pop(callback, None)

    def clean(self) -> None:
        """Remove all callbacks; emitting afterwards is harmless."""
        self._callbacks.clear()

    def __call__(self, *args: Any) -> None:
        for callback, kwargs in list(self._callbacks.items()):
            try:
                callback(*args, **kwargs)
            except self._hidden:
                continue

    def __len__(self) -> int:
        return len(self._callbacks)
