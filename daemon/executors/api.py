"""The interface between engines and executors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Limits of one worker, and the conditions under which it is replaced by a fresh one.

    Attributes
    ----------
    memory_bytes : int or None
        Most resident memory; a worker that takes more is killed.
    recycle_tasks : int or None
        Blocks after which it is replaced.
    recycle_age_s : float or None
        Age at which it is replaced.
    recycle_growth_bytes : int or None
        Growth of its resident memory, since its first block, at which it is replaced.
    """

    memory_bytes: int | None = None
    recycle_tasks: int | None = None
    recycle_age_s: float | None = None
    recycle_growth_bytes: int | None = None
