"""An output of one file, HDF5 or npy, into which the run merges the results."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ...shared.errors import JobError, OutputRefused, StorageError
from ...shared.files.atomic import remove_if_there
from ...shared.files.refusals import storage_errors
from ...shared.geometry.roi import Roi
from ...shared.jobs.job import Job
from ...shared.messages import engine as wire
from ...shared.units import format_size
from ...shared.volumes.base.api import Volume
from ...shared.volumes.formats import Address
from ...shared.volumes.hdf5.contents import contents_beside, dataset_names, is_hdf5
from ...shared.volumes.hdf5.volume import Hdf5Volume
from ...shared.volumes.npy import NpyVolume
from ..engine.handle import Result
from ..engine.job import JobSpec
from ..planning.plan import Plan
from .output_base import job_spec, never_interrupted, refuse_odd_file
from .output_files import OutputFiles
from .single_file import SingleFile

_OPEN_PER_WORKER = 4


class MergedOutput:
    """One HDF5 or npy file, written by the merging thread."""

    def __init__(self, target: Address, job: Job, plan: Plan) -> None:
        if target.kind == "npy" and (job.output.compression or job.output.chunks):
            raise JobError("output.compression and output.chunks don't go with .npy; use .h5 or .json")
        if job.output.block_shape is not None:
            raise JobError(f"output.block_shape goes with a fileset (.json), not with {target.file}")
        self.path = Path(target.file)
        self.files = OutputFiles(self.path)
        self.worker_address: str | None = None
        self._target = target
        self._job = job
        self._plan = plan
        self._file = SingleFile(self.files, plan.grid, self._create, self._open)

    def _create(self, path: Path) -> Volume:
        plan, options = self._plan, self._job.output
        if self._target.kind == "npy":
            return NpyVolume.create(path, plan.shape, plan.dtype, axes=plan.axes)
        return Hdf5Volume.create(
            path,
            self._target.internal,
            plan.shape,
            plan.dtype,
            meaning=plan.meaning,
            chunks=options.chunks,
            compression=options.compression,
            compression_opts=options.compression_opts,
        )

    def _open(self, path: Path, mode: Literal["r", "r+"]) -> Volume:
        if self._target.kind == "npy":
            return NpyVolume(path, mode=mode)
        return Hdf5Volume(path, self._target.internal, mode=mode)

    def begun(self) -> bool:
        """True if an earlier run left its file, finished or partial."""
        return self.files.partial.exists() or self.path.exists()

    def has_finished_blocks(self) -> bool:
        """True if the file is whole, or some block is noted in its ledger."""
        if os.path.lexists(self.path):
            return True
        try:
            return any(self.files.ledger.read_bytes())
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"could not read {self.files.ledger}: {error.strerror}") from error

    def in_the_way(self) -> Path | None:
        """A file that has the name of a new output, or None."""
        return self.path if os.path.lexists(self.path) else None

    def check_replaceable(self, check: Callable[[], None] = never_interrupted) -> None:
        """Check that replacing the existing file destroys nothing but this output.

        Parameters
        ----------
        check : callable
            Not used: it takes no time.

        Raises
        ------
        OutputRefused
            If it holds other data, is no file, or can't be read.
        """
        refuse_odd_file(self.path)
        if self.path.is_symlink() or not self.path.exists():
            return  # if it is a link, only the link is removed
        self._check_room()
        try:
            others = contents_beside(self.path, self._target.internal) if is_hdf5(self.path) else []
        except StorageError as error:
            raise OutputRefused(
                f"{error}; so what replacing it would destroy can't be told, and nothing was changed: "
                "close it elsewhere, or move it away, then run this again"
            ) from error
        if others:
            raise OutputRefused(
                f"{self.path} also holds {', '.join(others[:5])}, which replacing the file would destroy; "
                "name an output file of its own"
            )

    def _check_room(self) -> None:
        """Refuse to replace the file if its disk lacks room for the new one; a compressed size is unknown."""
        size_bytes = self._plan.dtype.itemsize * math.prod(self._plan.shape)
        needed_bytes = 0 if self._job.output.compression else size_bytes
        old = self.path.stat()
        old_bytes = old.st_blocks * 512 if old.st_nlink == 1 else 0
        free_bytes = shutil.disk_usage(self.path.parent).free + old_bytes
        if needed_bytes > free_bytes:
            raise OutputRefused(
                f"{self.path} was not replaced: the new file needs {format_size(needed_bytes)}, and its disk "
                f"has room for {format_size(free_bytes)}; make room, or name another output"
            )

    def discard(self, check: Callable[[], None], tell: Callable[[str], None]) -> None:
        """Remove the existing file; call `check_replaceable` before.

        Parameters
        ----------
        check, tell : callable
            Not used: it takes no time.
        """
        with storage_errors("remove", self.path):
            remove_if_there(str(self.path))

    def written_by(self, job: str) -> bool:
        """False: the file does not hold the name of its job."""
        return False

    def inside(self) -> str | None:
        """The dataset that an earlier run has begun; None if there is none or it is unknown."""
        if self._target.kind != "hdf5":
            return None
        partial = self.files.partial
        names = dataset_names(partial if partial.exists() else self.path)
        return self._target.internal if self._target.internal in names else ", ".join(names[:5])

    def start(self) -> None:
        """Begin an empty file."""
        self._file.start()

    def go_on(self, check: Callable[[], None], tell: Callable[[str], None]) -> bytes:
        """Check the blocks that an earlier run has merged.

        Parameters
        ----------
        check : callable
            Called between blocks; it may raise.
        tell : callable
            Called with a sentence about blocks that are done again.

        Returns
        -------
        bytes
            Map of finished blocks, one byte a block.
        """
        return self._file.go_on(check, tell)

    def spec(self, recipe: wire.Recipe, done: bytes, workers: int) -> JobSpec:
        """The spec of the job for the engine: results come back, a bounded number at a time.

        Parameters
        ----------
        recipe, done, workers
            As for `FilesetOutput.spec`.

        Returns
        -------
        JobSpec
        """
        spec = job_spec(recipe, self._plan, self._job, done)
        return replace(spec, merge_dtype=self._plan.dtype, max_open=_OPEN_PER_WORKER * workers)

    def merge(self, result: Result) -> None:
        """Write one result into the file."""
        assert result.array is not None, "the job has voxels"
        self._file.merge(result.block, result.roi, result.array, result.crc32)

    def sweep(self, rois: list[Roi]) -> None:
        """Do nothing: an interrupted attempt leaves nothing in the file."""

    def finish(self) -> None:
        """Give the file its name."""
        self._file.finish()

    def close(self) -> None:
        """Close the file; merged blocks stay for a later run."""
        self._file.close()
