"""The jobs of one worker: recipes, shared memory, and the attempt at one block.

No socket and no process: `loop` is the worker process around it, and an executor without processes uses
it directly.
"""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path

from ..shared.errors import BlockError, BlockmillError, DamagedInput, JobError, MissingBlock, StorageError
from ..shared.geometry.roi import Roi
from ..shared.memory.arena import Segment
from ..shared.messages import engine as wire
from ..shared.outside_text import clean, error_text, message_of
from .block_task import BlockOutcome, PreparedJob
from .compare import CompareJob
from .owner import Owner, StaysItself
from .transfer import OpenVolumes, TransferJob

_PACKAGE = Path(__file__).parent.parent
_MAX_FRAMES = 5
_MOST_FRAME_CHARACTERS = 1000


# What is wrong with the job, its function or the result's form: it is the same at every attempt.
_SURE_TO_COME_AGAIN = (
    JobError,
    MissingBlock,
    DamagedInput,
    BlockError,
    TypeError,
    NameError,
    AttributeError,
    SyntaxError,
    SystemExit,
)


class RefusedJob:
    """A job that this process can't do: each of its blocks fails, for the same reason."""

    prompt = True

    def __init__(self, reason: JobError) -> None:
        self._reason = reason

    def roi_of(self, task: wire.Task) -> Roi:
        """Raise the reason."""
        raise self._reason

    def do(self, task: wire.Task, roi: Roi, segment: Segment | None) -> BlockOutcome:
        """Raise the reason."""
        raise self._reason

    def close(self) -> None:
        """Do nothing."""


class WorkerJobs:
    """The jobs that a worker holds, and the shared memory for their voxels.

    Parameters
    ----------
    owner : Owner, optional
        The user that this process is. Default: who it is, and no job's owner.
    """

    def __init__(self, owner: Owner | None = None) -> None:
        self._owner: Owner = owner or StaysItself()
        self._jobs: dict[str, PreparedJob | TransferJob | CompareJob | RefusedJob] = {}
        self._volumes = OpenVolumes()
        self._segments: dict[int, Segment | OSError] = {}
        self._pid = os.getpid()

    def handle(self, message: wire.Prepare | wire.MapSegment | wire.Forget) -> None:
        """Take a message about jobs or memory."""
        match message:
            case wire.Prepare():
                self._jobs[message.job] = self._prepared(message.recipe)
            case wire.MapSegment():
                self._map_segment(message)
            case wire.Forget():
                self._forget(message)

    def prompt(self, job: str) -> bool:
        """True if each answer of this job is to be sent at once."""
        return self._jobs[job].prompt

    def _prepared(self, recipe: wire.Recipe) -> PreparedJob | TransferJob | CompareJob | RefusedJob:
        try:
            recipe = self._owner.take_on(recipe)
        except JobError as error:
            return RefusedJob(error)
        if recipe.compare is not None:
            return CompareJob(recipe, recipe.compare)
        if (transfer := recipe.transfer) is None:
            return PreparedJob(recipe)
        return TransferJob(recipe, transfer, self._volumes, lambda: self._segment_of(transfer.view))

    def _map_segment(self, message: wire.MapSegment) -> None:
        try:
            file = self._owner.receive_file() if message.path is None else message.path
            self._segments[message.segment] = Segment(message.nbytes, file, populate=message.populate)
        except OSError as error:
            self._segments[message.segment] = error  # the reply to tasks that need it

    def _forget(self, message: wire.Forget) -> None:
        if (job := self._jobs.pop(message.job, None)) is not None:
            job.close()
        for number in message.segments:
            self._segments.pop(number, None)

    def do(self, task: wire.Task) -> wire.TaskReply:
        """Make an attempt at a block; any error of it is the reply."""
        started_s = time.monotonic()
        try:
            job = self._jobs[task.job]
            roi = job.roi_of(task)
            outcome = job.do(task, roi, self._segment_of(task.slot))
        except Exception as error:  # noqa: BLE001 - any error of a block is its reply
            return _failure(task, error)
        except SystemExit as error:
            if os.getpid() != self._pid:
                raise  # a child that user code has forked ends as it wants
            return _failure(task, error)
        seconds = time.monotonic() - started_s
        return wire.TaskDone(
            task.job,
            task.block,
            task.attempt,
            seconds,
            outcome.nbytes_read,
            outcome.nbytes_written,
            outcome.skipped,
            outcome.crc32,
            roi.volume,
            outcome.note,
            outcome.unrecorded,
            outcome.record,
            outcome.masked,
        )

    def _segment_of(self, memory: wire.Slot | wire.ArrayView | None) -> Segment | None:
        if memory is None:
            return None
        segment = self._segments[memory.segment]
        if isinstance(segment, OSError):
            raise StorageError(f"the shared memory for voxels can't be opened: {segment}") from segment
        return segment

    def close(self) -> None:
        """Close the volumes of all jobs."""
        for job in self._jobs.values():
            job.close()
        self._volumes.close()


def _failure(task: wire.Task, error: Exception | SystemExit) -> wire.TaskFailed:
    """The reply that carries an error; an error that would come again is not retried."""
    if isinstance(error, MemoryError):
        text = "\n".join([f"out of memory: {message_of(error)}".rstrip(": "), *_user_frames(error)])
    elif isinstance(error, BlockmillError):
        text = message_of(error)
    else:
        text = "\n".join([error_text(error), *_user_frames(error)])
    retry = not isinstance(error, _SURE_TO_COME_AGAIN)
    memory = isinstance(error, MemoryError)
    kind = type(error).__name__ if isinstance(error, BlockmillError) else ""
    return wire.TaskFailed(task.job, task.block, task.attempt, text, retry, memory, kind)


def _user_frames(error: BaseException) -> list[str]:
    """The frames of an error in code outside this package, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    user_frames = [frame for frame in frames if not Path(frame.filename).is_relative_to(_PACKAGE)]
    lines = traceback.format_list(user_frames[-_MAX_FRAMES:])
    return [clean(line.rstrip(), _MOST_FRAME_CHARACTERS) for line in lines]
