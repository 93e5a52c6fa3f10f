"""Jobs that carry voxels between a volume and an array in shared memory, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..shared.errors import StorageError
from ..shared.geometry.roi import Roi
from ..shared.memory.arena import Segment
from ..shared.messages import engine as wire
from ..shared.volumes.base.api import RecordedVolume, Volume
from ..shared.volumes.registry import format_of, open_volume, split_input
from .block_task import BlockOutcome
from .task_rois import rois_of

_MAX_OPEN = 8


class OpenVolumes:
    """Volumes that stay open from one transfer to the next: the most recently used ones."""

    def __init__(self) -> None:
        self._volumes: dict[tuple[str, str, bool], Volume] = {}

    def volume(self, volume_id: str, address: str, write: bool) -> Volume:
        """Return the open volume at an address; open it at its first use.

        Parameters
        ----------
        volume_id : str
            Names the `ParallelVolume` that asks; two of them never share an open volume.
        address : str
        write : bool
            Open it for writing.

        Returns
        -------
        Volume
        """
        key = (volume_id, address, write)
        volume = self._volumes.pop(key, None)
        if volume is None:
            volume = _opened_to_write(address) if write else open_volume(address)
        self._volumes[key] = volume  # at the end: the most recently used one
        while len(self._volumes) > _MAX_OPEN:
            self._volumes.pop(next(iter(self._volumes))).close()
        return volume

    def close(self) -> None:
        """Close all."""
        for volume in self._volumes.values():
            volume.close()
        self._volumes.clear()


def _opened_to_write(address: str) -> Volume:
    place = split_input(address)
    return format_of(place).open_to_write(place)


class TransferJob:
    """A worker's side of one transfer.

    Parameters
    ----------
    recipe : Recipe
    transfer : Transfer
        That of the recipe.
    volumes : OpenVolumes
        Those of the worker.
    segment : callable
        Returns the shared memory in which the transfer's array lies.
    """

    def __init__(
        self,
        recipe: wire.Recipe,
        transfer: wire.Transfer,
        volumes: OpenVolumes,
        segment: Callable[[], Segment | None],
    ) -> None:
        self.roi_of = rois_of(recipe)
        self.prompt = recipe.prompt
        self._recipe = recipe
        self._transfer = transfer
        self._volumes = volumes
        self._segment = segment

    def do(self, task: wire.Task, roi: Roi, segment: Segment | None) -> BlockOutcome:
        """Carry one block; a read fills its part of the array directly, without a copy in between.

        Parameters
        ----------
        task : Task
        roi : Roi
            The task's, in voxels of the volume.
        segment : Segment or None
            Shared memory of a result; a transfer has none.

        Returns
        -------
        BlockOutcome

        Raises
        ------
        BlockmillError
            Whatever the volume raises.
        """
        transfer = self._transfer
        address = self._recipe.sources[0].volume
        assert isinstance(address, str)
        volume: Any = self._volumes.volume(transfer.volume_id, address, transfer.write is not None)
        memory, view = self._segment(), transfer.view
        if memory is None:
            raise StorageError("the transfer names no shared memory")
        array = np.ndarray(
            view.shape, np.dtype(view.dtype), buffer=memory.map, offset=view.offset, strides=view.strides
        )
        block = array[roi.relative_to(transfer.origin).to_slice()]
        if transfer.write is not None:
            if isinstance(volume, RecordedVolume):
                volume.write(roi, block, status=transfer.write)
            else:
                volume.write(roi, block)
            return BlockOutcome(nbytes_written=block.nbytes)
        volume.read(roi, out=block)
        return BlockOutcome(nbytes_read=block.nbytes)

    def close(self) -> None:
        """Do nothing: the volume stays open for the next transfer."""
