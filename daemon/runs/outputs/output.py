"""The output of a job. Who writes it and where finished blocks are noted are two independent choices.

Who writes: workers each their blocks, or this process, which merges their results one at a time. Where:
see `completion`. The format chooses both.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from ....shared.errors import OutputRefused, StorageError
from ....shared.geometry.roi import Roi
from ....shared.jobs.job import Job
from ....shared.messages import engine as wire
from ....shared.operations.reducer import Table
from ....shared.units import format_size
from ....shared.volumes.base.format import NewVolume, StatusFormat
from ....shared.volumes.registry import Address, format_of
from ...engine.handle import Result
from ...engine.job import BlockLog, JobSpec
from ...planning.plan import Plan
from ...scheduling.events import Attempted, Persist
from .completion import CompareBlocks, Completion, StatusCompletion
from .ledger_completion import LedgerCompletion
from .output_files import OutputFiles

_OPEN_PER_WORKER = 4


@runtime_checkable
class _Buffered(Protocol):
    """A volume that holds back writes; one in a memory map does not."""

    def flush(self) -> None: ...


def _never_interrupted() -> None:
    """Do nothing: the check of what can't be interrupted."""


class Output:
    """The output of one job, from the first look at what exists to its name.

    Parameters
    ----------
    target : Address
    job : Job
    plan : Plan
    reserve : bool
        Reserve the space of the voxels on disk where the format can do that.

    Raises
    ------
    JobError
        If options don't fit the format.

    Attributes
    ----------
    path : Path
        What has the output's name.
    files : OutputFiles
        The hidden folder beside it.
    format : Format
    merges : bool
        True if results come back to this process, which writes them.
    """

    def __init__(self, target: Address, job: Job, plan: Plan, *, reserve: bool = True) -> None:
        self.path = Path(target.file)
        self.files = OutputFiles(self.path)
        self.format = format_of(target)
        self.format.check_options(target, job.output)
        self.merges = self.format.writers == "merger"
        self._target = target
        self._job = job
        self._plan = plan
        self._reserve = reserve
        self._new = NewVolume(
            shape=plan.shape,
            dtype=plan.dtype,
            meaning=plan.meaning,
            unit=plan.storage_block,
            options=job.output,
            label=job.name,
        )
        self._completion = self._make_completion()
        self._noting: _NotingLog | None = None
        self._volume: Any = None  # that results are merged into

    def _make_completion(self) -> Completion:
        if isinstance(self.format, StatusFormat):
            return StatusCompletion(self.format, self._target, self._new)
        return LedgerCompletion(self.format, self._target, self._new, self.files, self._plan.grid)

    # -- what exists ----------------------------------------------------------------

    def begun(self) -> bool:
        """True if an earlier run has left something."""
        return self._completion.begun()

    def has_finished_blocks(self) -> bool:
        """True if any block is finished; False only if it is certain that none is."""
        return self._completion.has_finished_blocks()

    def count_finished(self, most: int) -> int | None:
        """Number of finished blocks without a look at their voxels; None if there are more than `most`."""
        return self._completion.count_finished(self._plan.grid, most)

    def written_by(self, job: str) -> bool:
        """Test if a block names this job: the output may have been moved without its record."""
        return self._completion.written_by(job)

    def in_the_way(self) -> Path | None:
        """A file or folder that has the name of a new output, or None."""
        paths = (place.path for place in self.format.claims(self._target).places())
        return next((Path(path) for path in paths if os.path.lexists(path)), None)

    def table(self) -> Table | None:
        """The table of all blocks so far; None: the output is a volume."""
        return None

    def inside(self) -> str | None:
        """The path inside the file that an earlier run has begun; None if there is none or it is unknown."""
        partial = self.files.partial
        return self.format.inside(self._target.at(partial if partial.exists() else self.path))

    def check_replaceable(self, check: Callable[[], None] = _never_interrupted) -> None:
        """Check that replacing what exists destroys nothing but this output.

        Parameters
        ----------
        check : callable
            Raises if the run is interrupted.

        Raises
        ------
        OutputRefused
            If it holds other data, is something else, or can't be read.
        """
        self.format.check_replaceable(self._target, check)
        if not self._completion.in_blocks and self.path.is_file() and not self.path.is_symlink():
            self._check_room()

    def _check_room(self) -> None:
        """Refuse to replace the file if its disk lacks room for the new one; a compressed size is unknown."""
        size_bytes = self._plan.dtype.itemsize * math.prod(self._plan.shape)
        needed_bytes = 0 if self._job.output.compressed else size_bytes
        old = self.path.stat()
        old_bytes = old.st_blocks * 512 if old.st_nlink == 1 else 0
        free_bytes = shutil.disk_usage(self.path.parent).free + old_bytes
        if needed_bytes > free_bytes:
            raise OutputRefused(
                f"{self.path} was not replaced: the new file needs {format_size(needed_bytes)}, and its disk "
                f"has room for {format_size(free_bytes)}; make room, or name another output"
            )

    def discard(self, check: Callable[[], None], tell: Callable[[str], None]) -> None:
        """Remove what exists; call `check_replaceable` before.

        Parameters
        ----------
        check : callable
            Raises if the run is interrupted; the rest of the output stays, to be removed by the next run.
        tell : callable
            Takes a line for people, if it takes long.
        """
        self.format.remove(self._target, self._new, check, tell)

    # -- the run --------------------------------------------------------------------

    def start(self) -> None:
        """Begin an empty output."""
        self._completion.start(reserve=self._reserve)
        self._open_to_merge()

    def go_on(self, compare: CompareBlocks, tell: Callable[[str], None]) -> bytes:
        """Take up what an earlier run has left.

        Parameters
        ----------
        compare : callable
            Compares blocks with their checksums.
        tell : callable
            Takes a sentence about blocks that are done again.

        Returns
        -------
        bytes
            Map of finished blocks, one byte a block; empty: workers find out.
        """
        done = self._completion.go_on(compare, tell)
        if not done or not all(done) or self.files.partial.exists():
            self._open_to_merge()
        return done

    def _open_to_merge(self) -> None:
        if self.merges:
            self._volume = self.format.open_to_write(self._completion.place)

    def spec(self, recipe: wire.Recipe, done: bytes, workers: int) -> JobSpec:
        """The spec of the job for the engine.

        Parameters
        ----------
        recipe : Recipe
            Instructions for a block, as far as they don't depend on the output.
        done : bytes
            Map of finished blocks, one byte a block; empty: none.
        workers : int
            Worker processes of the engine.

        Returns
        -------
        JobSpec
            If results come back, with a bound on those that are under way.
        """
        place, in_blocks = self._completion.place, self._completion.in_blocks
        job = self._job
        spec = JobSpec(
            recipe=msgspec.structs.replace(
                recipe,
                output=None if self.merges else wire.VolumePlace(place.format, place.file, place.internal),
                durability="block" if job.output.durability == "block" else "none",
                checksum=not in_blocks,
                resume=recipe.resume and in_blocks,
            ),
            blocks=self._plan.grid,
            retries=job.retries,
            on_error=job.on_error,
            ordered=job.order == "block",
            done=done,
            block_timeout_s=job.block_timeout_s,
        )
        if not self.merges:
            return spec
        return replace(spec, merge_dtype=self._plan.dtype, max_open=_OPEN_PER_WORKER * workers)

    def log(self, events: BlockLog | None) -> BlockLog | None:
        """A log of the ends of blocks that also notes here what workers have written, before `events`."""
        if self.merges or self._completion.in_blocks:
            return events
        self._noting = _NotingLog(self._completion, events)
        return self._noting

    def merge(self, result: Result) -> None:
        """Write one result, then note it: what is noted survives a kill."""
        assert result.array is not None, "the job has voxels"
        self._volume.write(result.roi, result.array)
        if isinstance(self._volume, _Buffered):
            self._volume.flush()
        self._completion.note(result.block, result.crc32)

    def sweep(self, rois: list[Roi]) -> None:
        """Remove what interrupted attempts at these blocks left: partial files, locks of dead processes."""
        if not self.merges:
            for roi in rois:
                self.format.sweep(self._completion.place, roi)

    def finish(self, compare: CompareBlocks) -> None:
        """Give the output its name.

        Parameters
        ----------
        compare : callable
            As for `go_on`.

        Raises
        ------
        OutputRefused
            If something else has that name by now.
        StorageError
            If the output is not whole.
        """
        self.close()  # the last of the bookkeeping may be written here
        if self._noting is not None and self._noting.failure is not None:
            error = self._noting.failure
            raise StorageError(f"could not write {self.files.ledger}: {error.strerror}") from error
        self._completion.finish(compare)

    def stored_bytes(self) -> int:
        """Size of the files that hold voxels so far, in bytes."""
        return sum(file.stat().st_size for file in self.format.voxel_files(self._completion.place))

    def close(self) -> None:
        """Close the files; finished blocks stay for a later run."""
        volume, self._volume = self._volume, None
        try:
            if volume is not None:
                volume.close()
        finally:
            self._completion.close()


class _NotingLog:
    """Notes each block that a worker has written; in the engine's thread, in which nothing may be raised."""

    def __init__(self, completion: Completion, events: BlockLog | None) -> None:
        self.failure: OSError | None = None
        self._completion = completion
        self._events = events

    def block(self, number: int, roi: Roi, ended: Persist, reply: wire.TaskDone | None) -> None:
        """Note a block, then let the others know."""
        if ended.state == "done" and reply is not None:
            try:
                self._completion.note(number, reply.crc32)
            except OSError as error:  # told at the end, which it keeps from being a success
                self.failure = error
        if self._events is not None:
            self._events.block(number, roi, ended, reply)

    def attempt(self, attempted: Attempted) -> None:
        """Pass a failed attempt on."""
        if self._events is not None:
            self._events.attempt(attempted)
