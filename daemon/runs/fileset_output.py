"""An output of block files that the workers write: this side makes, tidies and removes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...shared.errors import JobError, OutputRefused
from ...shared.files.places import Place
from ...shared.files.refusals import storage_errors
from ...shared.geometry.roi import Roi
from ...shared.jobs.job import Job
from ...shared.messages import engine as wire
from ...shared.volumes.base.info import Meaning
from ...shared.volumes.blockwise.description import FilesetDescription, read_description
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ...shared.volumes.blockwise.layout import STATUS_NAME
from ...shared.volumes.blockwise.status import parse_status
from ...shared.volumes.claims import blocks_folder, reads_of
from ...shared.volumes.formats import Address
from ..engine.handle import Result
from ..engine.job import JobSpec
from ..planning.plan import Plan
from .output_base import job_spec, refuse_odd_file
from .output_files import OutputFiles

_MADE_ALIKE = (
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
"""What a description must share with this job's own, for its blocks to be this job's."""


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
    """A blockwise fileset: workers write its block files, this side makes and tidies it."""

    def __init__(self, target: Address, job: Job, plan: Plan) -> None:
        self.path = Path(target.file)
        self.files = OutputFiles(self.path)
        self.worker_address: str | None = str(self.path)
        self._target = target
        self._plan = plan
        self._job = job
        self._description = self._described(job, plan)
        self._root: tuple[int, int] | None = None

    def _described(self, job: Job, plan: Plan) -> FilesetDescription:
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
        refuse_odd_file(self.path)
        root = blocks_folder(self.path)
        if os.path.lexists(root) and not root.is_dir():
            raise OutputRefused(
                f"{root} is no folder, and the blocks belong there; move it, or name another output"
            )
        if root.is_dir():
            self._check_blocks_replaceable(root)

    def _check_blocks_replaceable(self, root: Path) -> None:
        with storage_errors("look into", root):
            linked = next(_links_below(str(root)), None)
        if linked is not None:
            raise OutputRefused(f"{linked} is a link, and blocks would be written to where it leads; move it")
        if not self.path.exists() and (other := self._other_description(root)) is not None:
            raise OutputRefused(f"{root} holds the blocks of {other}; name another output")

    def _other_description(self, root: Path) -> Path | None:
        """Another description in this folder whose blocks lie in `root`."""
        here = Place.of(root)
        for path in self.path.parent.glob("*.json"):
            if any(tree.place.is_same(here) for tree in reads_of(Address("fileset", str(path))).trees):
                return path
        return None

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
        self._root = self._made_root()

    def _made_root(self) -> tuple[int, int] | None:
        """Device and inode of the folder of the blocks, which is made if it is not there."""
        root = blocks_folder(self.path)
        with storage_errors("make", root):
            root.mkdir(exist_ok=True)
        return Place.of(root).own

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
        found = read_description(self.path).with_view_filled_in()
        ours = self._description.with_view_filled_in()
        differing = [
            f"{key}: {getattr(found, key)} there, {getattr(ours, key)} here"
            for key in _MADE_ALIKE
            if getattr(found, key) != getattr(ours, key)
        ]
        if differing:
            raise OutputRefused(
                f"{self.path} is no longer what this job wrote: {'; '.join(differing)}; "
                "run with --overwrite to replace it, or name another output"
            )
        self._root = self._made_root()
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
        return job_spec(recipe, self._plan, self._job, done)

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
        """Check that the folder of the blocks is the one that they were written to.

        Raises
        ------
        OutputRefused
            If something else has its name now.
        """
        root = blocks_folder(self.path)
        if Place.of(root).own != self._root:
            raise OutputRefused(
                f"{root} was exchanged while this job ran, so blocks may be missing; put the folder back, "
                "then run this again"
            )

    def close(self) -> None:
        """Nothing is held open."""


def _links_below(folder: str) -> Iterator[str]:
    """Symbolic links at any depth, which are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield entry.path
            elif entry.is_dir(follow_symlinks=False):
                yield from _links_below(entry.path)
