"""What a run tells: callbacks while it lasts, and a summary at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...shared.operations.reducer import Table
from ...shared.units import format_count
from ..engine.handle import JobHandle, Notice, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The end of a run.

    Attributes
    ----------
    outcome : {"done", "done_with_failures", "failed", "cancelled"}
    blocks, finished, skipped : int
        Task blocks of the job; those that are finished by now; those of them that were finished before.
    voxels : int
        Voxels of the output that this run computed.
    seconds : float
        Wall time of the run.
    bytes_written : int
        Voxel bytes written by this run.
    output : str
        Address of the output.
    failures : list of (str, str)
        Each failed block, as text, and the reason: a summary line, details below.
    input_blocks, input_unchecked : int or None
        Stored blocks of the input that the finished job has read, and those of them that were not
        checked; None if nothing was to be checked.
    masked : int
        Blocks that the mask left out in this run.
    table : dict or None
        The table of an operation that makes one.
    """

    outcome: str
    blocks: int
    finished: int
    skipped: int
    voxels: int
    seconds: float
    bytes_written: int
    output: str
    retries: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    input_blocks: int | None = None
    input_unchecked: int | None = None
    masked: int = 0
    table: Table | None = None

    @property
    def note(self) -> str:
        """What is to be said beside the counts, for people; mostly empty."""
        parts: list[str] = []
        if self.input_unchecked:
            blocks = format_count(self.input_blocks or 0, "block")
            parts.append(f"{self.input_unchecked} of {blocks} of the input were not checked")
        if self.masked:
            parts.append(f"{format_count(self.masked, 'block')} left out by the mask")
        return "; ".join(parts)


@dataclass(slots=True)
class Watcher:
    """Callbacks of a run, called in the thread that runs it; give those that you need.

    `planned` gets the number of blocks, and that of those that are finished; `started` the handle of the
    job, or of the probe before it; `interrupted` is called often, and its True ends the run as a
    KeyboardInterrupt would.
    """

    planned: Callable[[int, int], None] = lambda blocks, finished: None
    started: Callable[[JobHandle], None] = lambda handle: None
    progress: Callable[[Progress], None] = lambda progress: None
    notice: Callable[[Notice], None] = lambda notice: None
    interrupted: Callable[[], bool] = lambda: False
