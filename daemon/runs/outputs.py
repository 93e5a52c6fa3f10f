"""The two kinds of output: block files that workers write, and one file that is merged here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from ...shared.errors import JobError, OutputRefused, StorageError
from ...shared.files.atomic import remove_if_there
from ...shared.files.places import Place
from ...shared.files.refusals import storage_errors
from ...shared.geometry.roi import Roi
from ...shared.jobs.job import Job
from ...shared.messages import engine as wire
from ...shared.volumes.base.api import Volume
from ...shared.volumes.blockwise.description import FilesetDescription, read_description
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ...shared.volumes.blockwise.layout import STATUS_NAME
from ...shared.volumes.blockwise.status import parse_status
from ...shared.volumes.claims import blocks_folder, reads_of
from ...shared.volumes.formats import Address
from ...shared.volumes.hdf5.contents import contents_beside, is_hdf5
from ...shared.volumes.hdf5.volume import Hdf5Volume, dataset_names
from ...shared.volumes.npy import NpyVolume
from ..engine.handle import Result
from ..engine.job import JobSpec
from ..planning.plan import Plan
from .output_files import OutputFiles
from .single_file import SingleFile

_OPEN_PER_WORKER = 4


class Output(Protocol):
    """The operations of a run on its output."""

    path: Path
    files: OutputFiles
    worker_address: str | None

    def begun(self) -> bool: ...
    def in_the_way(self) -> Path | None: ...
    def check_replaceable(self) -> None: ...
    def discard(self) -> None: ...
    def written_by(self, job: str) -> bool: ...
    def inside(self) -> str | None: ...
    def start(self) -> None: ...
    def go_on(self, check: Callable[[], None], tell: Callable[[str], None]) -> bytes: ...
    def spec(self, recipe: wire.Recipe, done: bytes, workers: int) -> JobSpec: ...
    def merge(self, result: Result) -> None: ...
    def sweep(self, rois: list[Roi]) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


def output_for(target: Address, job: Job, plan: Plan) -> Output:
    """The output for an address and a plan.

    Parameters
    ----------
    target : Address
    job : Job
    plan : Plan

    Returns
    -------
    Output

    Raises
    ------
    JobError
        If options don't fit the kind of output.
    """
    if target.kind == "fileset":
        return FilesetOutput(target, job, plan)
    return MergedOutput(target, job, plan)


class FilesetOutput:
    """A blockwise fileset: workers write its block files, this side makes and tidies it."""

    def __init__(self, target: Address, job: Job, plan: Plan) -> None:
        self.path = Path(target.file)
        self.files = OutputFiles(self.path)
        self.worker_address: str | None = str(self.path)
        self._target = target
        self._plan = plan
        self._job = job
        self._description = self._described(job, plan)

    def _described(self, job: Job, plan: Plan) -> FilesetDescription:
        assert plan.storage_block is not None, "the planner gives a fileset its block shape"
        return FilesetDescription(
            name=job.name,
            axes=plan.axes,
            shape=plan.shape,
            dtype=plan.dtype,
            block_shape=plan.storage_block,
            chunks=job.output.chunks,
            compression=job.output.compression,
            compression_opts=job.output.compression_opts,
            dataset_root_dir=blocks_folder(self.path).name,
            block_file_name_format="block-{roiString}.h5/volume/data",
            schema_version=1.0,
        )

    def begun(self) -> bool:
        """True if the description of an earlier run is there."""
        return self.path.exists()

    def in_the_way(self) -> Path | None:
        """A file or folder that has the name of a new output, or None."""
        return next((path for path in (self.path, blocks_folder(self.path)) if os.path.lexists(path)), None)

    def check_replaceable(self) -> None:
        """Check that the existing files may be replaced.

        Raises
        ------
        OutputRefused
            If a description or a folder of blocks is something else.
        """
        _refuse_odd_file(self.path)
        root = blocks_folder(self.path)
        if os.path.lexists(root) and not root.is_dir():
            raise OutputRefused(
                f"{root} is no folder, and the blocks belong there; move it, or name another output"
            )

    def discard(self) -> None:
        """Remove the existing fileset: its description and its blocks, and nothing else.

        Blocks that the description keeps elsewhere than such an output does stay: they are others'.
        """
        if not os.path.lexists(self.path):
            return
        if self.path.exists():
            self._remove_blocks()
        with storage_errors("remove", self.path):
            self.path.unlink()

    def _remove_blocks(self) -> None:
        try:
            with BlockwiseFileset(self.path, "a") as old:
                if self._keeps_blocks_here():
                    old.remove_blocks()
        except JobError as error:
            raise JobError(
                f"{error}; so the blocks of the old output can't be found: "
                f"remove {self.path} and the folder of its blocks by hand, then run this again"
            ) from error

    def _keeps_blocks_here(self) -> bool:
        """Test if the existing description has its blocks where such an output has them."""
        here = Place.of(blocks_folder(self.path))
        return any(tree.place.is_same(here) for tree in reads_of(self._target).trees)

    def written_by(self, job: str) -> bool:
        """Test if a block's status names this job, as in a fileset that was moved without its record."""
        with storage_errors("look into", blocks_folder(self.path)):
            status = next(blocks_folder(self.path).rglob(STATUS_NAME), None)
            return status is not None and parse_status(status.read_bytes()).job == job

    def inside(self) -> str | None:
        """Nothing lies beside the voxels."""
        return None

    def start(self) -> None:
        """Write the description; the blocks come from the workers."""
        BlockwiseFileset.create(self.path, self._description).close()

    def go_on(self, check: Callable[[], None], tell: Callable[[str], None]) -> bytes:
        """Take up an earlier output. No block is known as finished: workers check each block before doing it.

        Parameters
        ----------
        check, tell : callable
            Not used.

        Returns
        -------
        bytes
            Empty.

        Raises
        ------
        OutputRefused
            If the description is not the one that this job wrote.
        """
        found, ours = read_description(self.path), self._description
        differing = [
            f"{key}: {getattr(found, key)} there, {getattr(ours, key)} here"
            for key in ("shape", "dtype", "axes", "block_shape", "chunks", "compression", "compression_opts")
            if getattr(found, key) != getattr(ours, key)
        ]
        if differing:
            raise OutputRefused(
                f"{self.path} is no longer what this job wrote: {'; '.join(differing)}; "
                "run with --overwrite to replace it, or name another output"
            )
        return b""

    def spec(self, recipe: wire.Recipe, done: bytes, workers: int) -> JobSpec:
        """The order for the engine.

        Parameters
        ----------
        recipe : Recipe
            Instructions for a block, without the output.
        done : bytes
            Map of finished blocks, one byte a block.
        workers : int
            Worker processes of the engine.

        Returns
        -------
        JobSpec
        """
        return _spec(recipe, self._plan, self._job, done)

    def merge(self, result: Result) -> None:
        """Never asked for: workers write."""
        raise NotImplementedError("the blocks of a fileset are written by the workers")

    def sweep(self, rois: list[Roi]) -> None:
        """Remove the leftovers of attempts at these blocks that were cut off: partial files, dead locks."""
        if rois:
            with BlockwiseFileset(self.path, "a") as fileset:
                for roi in rois:
                    fileset.sweep(roi)

    def finish(self) -> None:
        """Do nothing: each block was finished by itself."""

    def close(self) -> None:
        """Nothing is held open."""


class MergedOutput:
    """One HDF5 or npy file, filled by the merging thread."""

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
        self._file = SingleFile(self.files, plan.grid, self._create, self._open, self._holds_more)

    def _create(self, path: Path) -> Volume:
        plan, wanted = self._plan, self._job.output
        if self._target.kind == "npy":
            return NpyVolume.create(path, plan.shape, plan.dtype, axes=plan.axes)
        return Hdf5Volume.create(
            path,
            self._target.internal,
            plan.shape,
            plan.dtype,
            axes=plan.axes,
            chunks=wanted.chunks,
            compression=wanted.compression,
            compression_opts=wanted.compression_opts,
        )

    def _open(self, path: Path, mode: Literal["r", "r+"]) -> Volume:
        if self._target.kind == "npy":
            return NpyVolume(path, mode=mode)
        return Hdf5Volume(path, self._target.internal, mode=mode)

    def _holds_more(self, path: Path) -> list[str]:
        return contents_beside(path, self._target.internal) if self._target.kind == "hdf5" else []

    def begun(self) -> bool:
        """True if an earlier run left its file, finished or partial."""
        return self.files.partial.exists() or self.path.exists()

    def in_the_way(self) -> Path | None:
        """A file that has the name of a new output, or None."""
        return self.path if os.path.lexists(self.path) else None

    def check_replaceable(self) -> None:
        """Check that replacing the existing file destroys nothing but this output.

        Raises
        ------
        OutputRefused
            If it holds more, is no file, or can't be looked into.
        """
        _refuse_odd_file(self.path)
        if self._target.kind != "hdf5" or self.path.is_symlink() or not self.path.exists():
            return  # of a link only the link goes
        try:
            more = self._holds_more(self.path) if is_hdf5(self.path) else []
        except StorageError as error:
            raise OutputRefused(
                f"{error}; so what replacing it would destroy can't be told, and nothing was changed: "
                "close it elsewhere, or move it away, then run this again"
            ) from error
        if more:
            raise OutputRefused(
                f"{self.path} also holds {', '.join(more[:5])}, which replacing the file would destroy; "
                "name an output file of its own"
            )

    def discard(self) -> None:
        """Remove the existing file; call `check_replaceable` before."""
        with storage_errors("remove", self.path):
            remove_if_there(str(self.path))

    def written_by(self, job: str) -> bool:
        """False: the file does not hold the name of its job."""
        return False

    def inside(self) -> str | None:
        """The dataset that an earlier run has begun; None if there is no such thing or it is unknown."""
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
        """The order for the engine: results come back, a bounded number at a time.

        Parameters
        ----------
        recipe, done, workers
            As for `FilesetOutput.spec`.

        Returns
        -------
        JobSpec
        """
        spec = _spec(recipe, self._plan, self._job, done)
        return replace(spec, merge_dtype=self._plan.dtype, max_open=_OPEN_PER_WORKER * workers)

    def merge(self, result: Result) -> None:
        """Write one result into the file."""
        self._file.merge(result.block, result.roi, result.array, result.crc32)

    def sweep(self, rois: list[Roi]) -> None:
        """Nothing of a block that was cut off is in the file."""

    def finish(self) -> None:
        """Give the file its name."""
        self._file.finish()

    def close(self) -> None:
        """Close the file; merged blocks stay for a later run."""
        self._file.close()


def _spec(recipe: wire.Recipe, plan: Plan, job: Job, done: bytes) -> JobSpec:
    return JobSpec(
        recipe=recipe,
        blocks=plan.grid,
        retries=job.retries,
        on_error=job.on_error,
        ordered=job.order == "block",
        done=done,
        block_timeout_s=job.block_timeout_s,
    )


def _refuse_odd_file(path: Path) -> None:
    """Only a file, or a link, may be replaced: a folder or a device of that name is not an output."""
    if os.path.lexists(path) and not (path.is_symlink() or path.is_file()):
        what = "a folder" if path.is_dir() else "no regular file"
        raise OutputRefused(f"{path} is {what}, which is never replaced; move it, or name another output")
