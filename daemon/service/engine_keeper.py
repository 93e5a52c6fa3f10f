"""The engine of a service, replaced when it breaks down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ...shared.operations.registry import preloads
from ...shared.system.impersonation import may_act
from ..engine.engine import Engine
from ..executors.api import WorkerLimits
from .settings import Settings

_LONGEST_PAUSE_S = 60.0
_RESPONSIVE_S = 60.0
_log = logging.getLogger(__name__)


class EngineKeeper:
    """Keeps an engine running.

    Parameters
    ----------
    settings : Settings
    make_engine : callable
        Takes the arguments of `Engine`.

    Attributes
    ----------
    draining : bool
        True while no more blocks are started.
    trouble : str
        Reason why there is no engine, while there is none.
    """

    def __init__(self, settings: Settings, make_engine: Callable[..., Engine] = Engine) -> None:
        self._make_engine = make_engine
        self.draining = False
        self.trouble = ""
        self.workers = settings.worker_count
        self._settings = settings
        self._engine: Engine | None = self._new_engine()
        self._breakdowns = 0
        self._not_before_s = 0.0
        self._drained_s = 0.0

    def _new_engine(self) -> Engine:
        settings = self._settings
        engine = self._make_engine(
            self.workers,
            preloads(),
            limits=_limits(settings),
            memory_bytes=settings.memory_bytes,
            become_owners=may_act(),
        )
        if self.draining:
            engine.drain()
        return engine

    @property
    def engine(self) -> Engine | None:
        """The engine; None while it has broken down."""
        return self._engine if self._engine is not None and self._engine.alive else None

    @property
    def quiet(self) -> bool:
        """True if no block runs, none waits to be merged, and none will be started."""
        if (engine := self.engine) is None:
            return True
        return self.draining and engine.view.quiet and engine.view.time_s > self._drained_s

    def drain(self, draining: bool) -> None:
        """Start no more blocks. With False, start some again."""
        self.draining = draining
        self._drained_s = time.monotonic()
        if self._engine is not None:
            self._engine.drain(draining)

    def set_workers(self, count: int) -> None:
        """Set the number of workers."""
        self.workers = count
        if self._engine is not None:
            self._engine.set_workers(count)

    def reconfigure(self, settings: Settings) -> None:
        """Apply other limits and, if the setting has changed, another number of workers."""
        before, self._settings = self._settings, settings
        if self._engine is not None:
            self._engine.set_limits(_limits(settings), settings.memory_bytes)
        if settings.workers != before.workers:
            self.set_workers(settings.worker_count)

    @property
    def responsive(self) -> bool:
        """True if there is no engine, or its thread has been active lately."""
        engine = self.engine
        if engine is None or not engine.view.time_s:
            return True
        return time.monotonic() - engine.view.time_s < _RESPONSIVE_S

    def reset_breakdowns(self) -> None:
        """Forget earlier breakdowns, because a run has come to its own end."""
        self._breakdowns, self.trouble = 0, ""

    def replace_broken(self, now_s: float, *, in_use: bool, reason: str = "") -> None:
        """Replace an engine that broke down, after a pause that grows with each breakdown.

        Parameters
        ----------
        now_s : float
        in_use : bool
            True while runs use the engine; it is replaced later then.
        reason : str
            Why it broke down, if that is known.
        """
        self.trouble = reason or self.trouble
        if self._engine is not None and not self._engine.alive and not in_use:
            self.trouble = self._engine._cause  # of a run that used it, or else known to nobody yet
            self._engine.close()
            self._engine = None
            pause_s = min(2.0**self._breakdowns, _LONGEST_PAUSE_S)
            self._breakdowns += 1
            self._not_before_s = now_s + pause_s
            _log.error("the engine broke down (%s); a new one follows in %g s", self.trouble, pause_s)
        if self._engine is None and now_s >= self._not_before_s:
            self._engine = self._new_engine()

    def close(self) -> None:
        """End the workers."""
        if self._engine is not None:
            self._engine.close()


def _limits(settings: Settings) -> WorkerLimits:
    return WorkerLimits(
        memory_bytes=settings.worker_memory_bytes,
        recycle_tasks=settings.recycle_tasks,
        recycle_age_s=settings.recycle_age_s,
        recycle_growth_bytes=settings.recycle_growth_bytes,
    )
