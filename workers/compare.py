"""Jobs that compare the blocks of a volume with a ledger: what an earlier run has left is checked so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..shared.errors import StorageError
from ..shared.files.checksum import crc32_of
from ..shared.files.refusals import UNREADABLE, refused_by_system
from ..shared.geometry.roi import Roi
from ..shared.memory.arena import Segment
from ..shared.messages import engine as wire
from ..shared.volumes.ledger import Ledger
from ..shared.volumes.registry import format_named
from .block_task import BlockOutcome
from .file_access import FileAccess
from .output import address_of
from .task_rois import rois_of


class CompareJob:
    """A worker's side of one comparison.

    Parameters
    ----------
    recipe : Recipe
    comparison : Comparison
        That of the recipe.
    """

    def __init__(self, recipe: wire.Recipe, comparison: wire.Comparison) -> None:
        self.roi_of = rois_of(recipe)
        self.prompt = recipe.prompt
        self._comparison = comparison
        self._files = FileAccess(recipe)
        self._ledger: Ledger | None = None

    def do(self, task: wire.Task, roi: Roi, segment: Segment | None) -> BlockOutcome:
        """Compare one block.

        Parameters
        ----------
        task : Task
        roi : Roi
            The task's, in voxels of the volume.
        segment : Segment or None
            Shared memory of a result; a comparison has none.

        Returns
        -------
        BlockOutcome
            `skipped` if the block agrees.

        Raises
        ------
        StorageError
            If the system refuses to read it, which says nothing about the block.
        """
        return self._files.run(lambda: self._compare(task.block, roi))

    def _compare(self, block: int, roi: Roi) -> BlockOutcome:
        try:
            voxels = self._read(roi)
            agrees = crc32_of(voxels) == self._opened_ledger().crc_of(block)
        except UNREADABLE as error:
            if refused_by_system(error) is not None:
                raise StorageError(str(error)) from error
            return BlockOutcome()  # damaged; the block is done again
        return BlockOutcome(voxels.nbytes, skipped=agrees)

    def _read(self, roi: Roi) -> NDArray[Any]:
        """The voxels; nothing stays open, since the run opens the volume for writing right after this."""
        place = self._comparison.place
        with format_named(place.format).open(address_of(place)) as volume:
            return volume.read(roi)

    def _opened_ledger(self) -> Ledger:
        if self._ledger is None:
            plan = self._comparison
            self._ledger = Ledger(Path(plan.ledger), plan.blocks, writable=False)
        return self._ledger

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()
        self._files.close()
