"""An output of block files. The workers write them; the run makes, tidies and removes the output."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

from ...shared.errors import JobError, OutputRefused
from ...shared.files.places import Place
from ...shared.files.refusals import storage_errors
from ...shared.geometry.roi import Roi
from ...shared.jobs.job import Job
from ...shared.messages import engine as wire
from ...shared.volumes.base.info import Meaning
from ...shared.volumes.blockwise.description import FilesetDescription, read_description, write_description
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ...shared.volumes.blockwise.layout import STATUS_NAME
from ...shared.volumes.blockwise.status import parse_status
from ...shared.volumes.claims import blocks_folder, reads_of
from ...shared.volumes.formats import Address
from ..engine.handle import Result
from ..engine.job import JobSpec
from ..planning.plan import Plan
from .output_base import job_spec, never_interrupted, refuse_odd_file
from .output_files import OutputFiles

_TELL_AFTER_S = 2.0
_COMPARED_FIELDS = (
    "shape",
    "dtype",
    "axes",
    "block_shape",
    "chunks",
    "compression",
    "compression_opts",
    "dataset_root_dir",
    "block_file_name_format",
    "view_origin",
    "view_shape",
)
"""Fields in which an existing description must equal this job's own, for its blocks to be this job's."""


def _kept_in_a_fileset(meaning: Meaning) -> dict[str, Any]:
    """What the description says beside the axes; of guessed ones nothing but that."""
    if meaning.guessed:
        return {"axes_guessed": True, "drange": meaning.drange}
    return {
        "voxel_size": meaning.voxel_size,
        "units": meaning.units,
        "position": meaning.origin,
        "drange": meaning.drange,
    }


class FilesetOutput:
    """A blockwise fileset: workers write its block files, the run makes and tidies it."""

    def __init__(self, target: Address, job: Job, plan: Plan) -> None:
        self.path = Path(target.file)
        self.files = OutputFiles(self.path)
        self.worker_address: str | None = str(self.path)
        self._target = target
        self._plan = plan
        self._job = job
        self._description = self._make_description(job, plan)
        self._root: tuple[int, int] | None = None

    def _make_description(self, job: Job, plan: Plan) -> FilesetDescription:
        assert plan.storage_block is not None, "the planner gives a fileset its block shape"
        return FilesetDescription(
            name=job.name,
            axes=plan.axes,
            **_kept_in_a_fileset(plan.meaning),
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

    def has_finished_blocks(self) -> bool:
        """True if any block is there; False only if it is certain that none is."""
        return self._any_status() is not None

    def _any_status(self) -> Path | None:
        """The status file of some block, or None if there is none."""
        root = blocks_folder(self.path)
        with storage_errors("look into", root):
            return next(root.rglob(STATUS_NAME), None)

    def in_the_way(self) -> Path | None:
        """A file or folder that has the name of a new output, or None."""
        return next((path for path in (self.path, blocks_folder(self.path)) if os.path.lexists(path)), None)

    def check_replaceable(self, check: Callable[[], None] = never_interrupted) -> None:
        """Check that the existing files may be replaced.

        Parameters
        ----------
        check : callable
            Raises if the run is interrupted.

        Raises
        ------
        OutputRefused
            If a description or a folder of blocks is something else.
        """
        refuse_odd_file(self.path)
        root = blocks_folder(self.path)
        if os.path.lexists(root) and not root.is_dir():
            raise OutputRefused(
                f"{root} is no folder, and the blocks belong there; move it, or name another output"
            )
        if root.is_dir():
            self._check_blocks_replaceable(root, check)

    def _check_blocks_replaceable(self, root: Path, check: Callable[[], None]) -> None:
        with storage_errors("look into", root):
            link = next(_links_below(str(root), check), None)
        if link is not None:
            raise OutputRefused(f"{link} is a link, and blocks would be written to where it leads; move it")
        if not self.path.exists() and (other := self._other_description(root)) is not None:
            raise OutputRefused(f"{root} holds the blocks of {other}; name another output")

    def _other_description(self, root: Path) -> Path | None:
        """Another description in this folder whose blocks lie in `root`."""
        place = Place.of(root)
        for path in self.path.parent.glob("*.json"):
            if any(tree.place.is_same(place) for tree in reads_of(Address("fileset", str(path))).trees):
                return path
        return None

    def discard(self, check: Callable[[], None], tell: Callable[[str], None]) -> None:
        """Remove the existing fileset: its description and its blocks, and nothing else.

        If the description has its blocks in another folder than a job's output would, they stay.

        Parameters
        ----------
        check : callable
            Raises if the run is interrupted; the rest of the output stays, to be removed by the next run.
        tell : callable
            Takes a line for people, if it takes long.
        """
        if not os.path.lexists(self.path):
            return
        if self.path.exists():
            self._restore_description()
            self._remove_blocks(check, tell)
        with storage_errors("remove", self.path):
            self.path.unlink()

    def _restore_description(self) -> None:
        """Write the description again if nothing is left of it, as after a power cut."""
        with storage_errors("write", self.path):
            if self.path.is_file() and not self.path.read_bytes().strip(b"\0"):
                write_description(self.path, self._description)

    def _remove_blocks(self, check: Callable[[], None], tell: Callable[[str], None]) -> None:
        tell_at_s = time.monotonic() + _TELL_AFTER_S

        def check_and_tell() -> None:
            nonlocal tell_at_s
            check()
            if time.monotonic() >= tell_at_s:
                tell_at_s = inf
                tell(f"removing the old output {self.path}")

        try:
            with BlockwiseFileset(self.path, "a") as old:
                if self._keeps_blocks_here():
                    old.remove_blocks(check=check_and_tell)
        except JobError as error:
            raise JobError(
                f"{error}; so the blocks of the old output can't be found: "
                f"remove {self.path} and the folder of its blocks by hand, then run this again"
            ) from error

    def _keeps_blocks_here(self) -> bool:
        """Test if the existing description has its blocks in the folder of a job's output."""
        own_root = Place.of(blocks_folder(self.path))
        return any(tree.place.is_same(own_root) for tree in reads_of(self._target).trees)

    def written_by(self, job: str) -> bool:
        """Test if a block's status names this job: the fileset may have been moved without its record."""
        if (status := self._any_status()) is None:
            return False
        with storage_errors("look into", status):
            return parse_status(status.read_bytes()).job == job

    def inside(self) -> str | None:
        """None: a fileset has no path inside of a file."""
        return None

    def start(self) -> None:
        """Write the description; the blocks come from the workers."""
        BlockwiseFileset.create(self.path, self._description).close()
        self._root = self._make_root()

    def _make_root(self) -> tuple[int, int] | None:
        """Make the folder of the blocks if it does not exist. Returns its device and inode."""
        root = blocks_folder(self.path)
        with storage_errors("make", root):
            root.mkdir(exist_ok=True)
        return Place.of(root).own

    def go_on(self, check: Callable[[], None], tell: Callable[[str], None]) -> bytes:
        """Resume an earlier output. The workers find out themselves which blocks are finished.

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
        self._restore_description()  # what lies beside it says that it is this job's
        existing = read_description(self.path).with_view_filled_in()
        expected = self._description.with_view_filled_in()
        differences = [
            f"{key}: {getattr(existing, key)} there, {getattr(expected, key)} here"
            for key in _COMPARED_FIELDS
            if getattr(existing, key) != getattr(expected, key)
        ]
        if differences:
            raise OutputRefused(
                f"{self.path} is no longer what this job wrote: {'; '.join(differences)}; "
                "run with --overwrite to replace it, or name another output"
            )
        self._root = self._make_root()
        return b""

    def spec(self, recipe: wire.Recipe, done: bytes, workers: int) -> JobSpec:
        """The spec of the job for the engine.

        Parameters
        ----------
        recipe : Recipe
            Instructions for a block.
        done : bytes
            Map of finished blocks, one byte a block.
        workers : int
            Worker processes of the engine.

        Returns
        -------
        JobSpec
        """
        return job_spec(recipe, self._plan, self._job, done)

    def merge(self, result: Result) -> None:
        """Not supported: workers write the blocks."""
        raise NotImplementedError("the blocks of a fileset are written by the workers")

    def sweep(self, rois: list[Roi]) -> None:
        """Remove what interrupted attempts at these blocks left: partial files, locks of dead processes."""
        if rois:
            with BlockwiseFileset(self.path, "a") as fileset:
                for roi in rois:
                    fileset.sweep(roi)

    def finish(self) -> None:
        """Check that the folder of the blocks is the one that they were written to.

        Raises
        ------
        OutputRefused
            If another folder has its name now.
        """
        root = blocks_folder(self.path)
        if Place.of(root).own != self._root:
            raise OutputRefused(
                f"{root} was exchanged while this job ran, so blocks may be missing; put the folder back, "
                "then run this again"
            )

    def close(self) -> None:
        """Do nothing: no file is open."""


def _links_below(folder: str, check: Callable[[], None]) -> Iterator[str]:
    """Symbolic links at any depth, which are not followed."""
    check()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield entry.path
            elif entry.is_dir(follow_symlinks=False):
                yield from _links_below(entry.path, check)
