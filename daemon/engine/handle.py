"""A job of the engine as its submitter sees it: results, notices, the end.

The engine's thread puts items in. The thread that submitted takes them out, runs the merge
callback, and confirms each merge. Nothing here blocks the engine.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from ...shared.errors import BlockError
from ...shared.geometry.roi import Roi, Shape


@dataclass(frozen=True, slots=True)
class Result:
    """A block whose voxels wait to be merged.

    Attributes
    ----------
    block : int
        Number of the block in its job.
    roi : Roi
        Its voxels, in block coordinates, without halo.
    array : ndarray of shape ``roi.shape``, or None
        In shared memory; valid as long as any reference to it (or to a view) lives. None if the operation
        gives no voxels.
    crc32 : int
        Checksum of the array's bytes if the recipe asks for one, else 0.
    record : bytes
        For the reducer of the operation.
    """

    block: int
    roi: Roi
    array: NDArray[Any] | None
    crc32: int = 0
    record: bytes = b""


_POLL_S = 0.1
NoticeKind = Literal["printed", "retry", "failed", "worker"]


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for people; as a string, one line of it.

    Attributes
    ----------
    text : str
        The whole message; its first line is a summary.
    kind : {"printed", "retry", "failed", "worker"}
        "printed": output of the operation. "retry": a block that is tried again. "failed": a block
        that has failed for good. "worker": other news of the workers.
    worker : int or None
    block : tuple of int or None
        First corner of the block that it is about.
    attempt : int or None
    """

    text: str
    kind: NoticeKind = "worker"
    worker: int | None = None
    block: Shape | None = None
    attempt: int | None = None

    def __str__(self) -> str:
        line = self.text.partition("\n")[0]
        return f"worker {self.worker}: {line}" if self.kind == "printed" else line


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is over; nothing follows.

    Attributes
    ----------
    outcome : {"done", "done_with_failures", "failed", "cancelled"}
    failures : list of (int, Roi, str)
        Number, roi and reason of each failed block.
    cause : str
        Reason of an early end, else empty.
    error : BaseException or None
        The error that broke the engine itself, if that is the cause.
    interrupted : list of Roi
        Blocks whose attempt was cut off; their partial files may need removing.
    error_kinds : dict of int to str
        Class of a block's last error, by the block's number, if it is one of `shared.errors`.
    """

    outcome: str
    failures: list[tuple[int, Roi, str]] = field(default_factory=list)
    cause: str = ""
    error: BaseException | None = None
    interrupted: list[Roi] = field(default_factory=list)
    error_kinds: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class Progress:
    """Running totals of a job.

    `voxels` counts those of the blocks done, without halo and without skipped blocks. `running` counts
    the blocks that a worker holds, those that wait there for their turn included. `unrecorded` counts
    blocks of the input that have no checksum to check them by, `masked` blocks that the mask leaves out.
    """

    blocks: int = 0
    running: int = 0
    voxels: int = 0
    skipped: int = 0
    failed: int = 0
    retries: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    unrecorded: int = 0
    masked: int = 0


class JobHandle:
    """The submitter's end of a job: take items, merge results, cancel.

    Parameters
    ----------
    job : str
        The engine's name of the job.
    send_command : callable
        Takes ``(verb, job, *args)`` to the engine's thread.
    """

    def __init__(self, job: str, send_command: Callable[..., None]) -> None:
        self.job = job
        self.progress = Progress()
        self.ended: Ended | None = None
        self._send_command = send_command
        self._items: queue.SimpleQueue[object] = queue.SimpleQueue()

    # -- the submitter's thread -----------------------------------------------------

    def next(self, timeout_s: float | None = None) -> object:
        """Wait for the next item: `Result`, `Notice`, `Ended`, or an item of the submitter's own.

        Returns None if none came within `timeout_s` seconds. Nothing follows `Ended`.
        """
        try:
            item = self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(item, Ended):
            self.ended = item
        return item

    def merged(self, block: int) -> None:
        """Confirm that a result has been merged: the block is finished."""
        self._send_command("merged", self.job, block)

    def merge_failed(self, block: int, error: str) -> None:
        """Report that merging a result failed: the job ends as failed.

        Parameters
        ----------
        block : int
            Number of the block.
        error : str
            The reason, for people.
        """
        self._send_command("merge_failed", self.job, block, error)

    def extend(self, rois: list[Roi], sealed: bool) -> None:
        """Append blocks to a job that was submitted unsealed.

        Parameters
        ----------
        rois : list of Roi
            The blocks, in block coordinates.
        sealed : bool
            True if these are the last.
        """
        self._send_command("extend", self.job, rois, sealed)

    def cancel(self, *, now: bool = False) -> None:
        """End the job with its running blocks; `now` gives them no time to tidy up. `Ended` follows."""
        self._send_command("cancel", self.job, now)

    def pause(self) -> None:
        """Start no more blocks until `resume`; running ones go on."""
        self._send_command("pause", self.job)

    def resume(self) -> None:
        """Undo `pause`."""
        self._send_command("resume", self.job)

    def set_priority(self, priority: int) -> None:
        """Let the job go before those of lower priority."""
        self._send_command("prioritise", self.job, priority)

    def drain(self, timeout_s: float) -> Ended | None:
        """Discard items until the job has ended, at most for `timeout_s` seconds."""
        deadline_s = time.monotonic() + timeout_s
        while self.ended is None and (left_s := deadline_s - time.monotonic()) > 0:
            self.next(left_s)
        return self.ended

    def wait(self, poll: Callable[[], None], tell: Callable[[Notice], None], *, cancel_s: float) -> Ended:
        """Pass notices on until a job without results has ended.

        Parameters
        ----------
        poll : callable
            Called many times a second; what it raises ends the job.
        tell : callable
            Takes the notices.
        cancel_s : float
            Longest time to wait for the end of a job that is ended so.

        Returns
        -------
        Ended
        """
        try:
            while not isinstance(item := self.next(_POLL_S), Ended):
                poll()
                if isinstance(item, Notice):
                    tell(item)
        except BaseException:
            self.cancel()
            self.drain(cancel_s)
            raise
        return item

    def put(self, item: object) -> None:
        """Hand an item to the submitter; safe from any thread."""
        self._items.put(item)


def failure_text(ended: Ended, limit: int = 5) -> str:
    """The reasons of a job's end in a few lines, for people.

    Parameters
    ----------
    ended : Ended
    limit : int
        Most failed blocks to list.

    Returns
    -------
    str
    """
    lines = [f"block {roi}: {reason}" for _, roi, reason in ended.failures[:limit]]
    if len(ended.failures) > limit:
        lines.append(f"and {len(ended.failures) - limit} more blocks")
    if ended.cause and not any(ended.cause in line for line in lines):
        lines.insert(0, ended.cause)
    return "\n".join(lines)


def block_error(ended: Ended) -> BlockError:
    """The error of a failed job, for its submitter."""
    error = BlockError(failure_text(ended) or f"the job ended as {ended.outcome}")
    error.__cause__ = ended.error
    return error
