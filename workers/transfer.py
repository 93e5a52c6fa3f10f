"""Voxels carried between a volume and an array in shared memory, block by block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..shared.errors import StorageError
from ..shared.geometry.roi import Roi
from ..shared.memory.arena import Segment
from ..shared.messages import engine as wire
from ..shared.volumes.base.api import Volume
from ..shared.volumes.blockwise.fileset import BlockwiseFileset
from ..shared.volumes.formats import open_volume
from .block_task import BlockOutcome
from .task_rois import rois_of

_MOST_OPEN = 8


class OpenVolumes:
    """Volumes that stay open from one transfer to the next; the ones used last."""

    def __init__(self) -> None:
        self._volumes: dict[tuple[str, str, bool], Volume] = {}

    def volume(self, session: str, address: str, write: bool) -> Volume:
        """The volume at an address, as this session knows it."""
        key = (session, address, write)
        found = self._volumes.pop(key, None)
        if found is None:
            found = BlockwiseFileset(address, "a") if write else open_volume(address)
        self._volumes[key] = found  # the last one is the one used last
        while len(self._volumes) > _MOST_OPEN:
            self._volumes.pop(next(iter(self._volumes))).close()
        return found

    def close(self) -> None:
        """Close all."""
        for volume in self._volumes.values():
            volume.close()
        self._volumes.clear()


class TransferJob:
    """One transfer as a worker holds it.

    Parameters
    ----------
    recipe : Recipe
    transfer : Transfer
        The recipe's.
    sessions : Sessions
        The worker's.
    segment : callable
        Gives the shared memory in which the transfer's array lies.
    """

    def __init__(
        self,
        recipe: wire.Recipe,
        transfer: wire.Transfer,
        sessions: OpenVolumes,
        segment: Callable[[], Segment | None],
    ) -> None:
        self.roi_of = rois_of(recipe)
        self.prompt = recipe.prompt
        self._recipe = recipe
        self._transfer = transfer
        self._sessions = sessions
        self._segment = segment

    def do(self, task: wire.Task, roi: Roi, segment: Segment | None) -> BlockOutcome:
        """Carry one block; a reader fills its very place in the array, without a copy in between.

        Raises
        ------
        BlockmillError
            Whatever the volume raises.
        """
        transfer = self._transfer
        assert isinstance(self._recipe.source, str)
        volume = self._sessions.volume(transfer.session, self._recipe.source, transfer.write is not None)
        memory, view = self._segment(), transfer.view
        if memory is None:
            raise StorageError("the transfer names no shared memory")
        whole = np.ndarray(
            view.shape, np.dtype(view.dtype), buffer=memory.map, offset=view.offset, strides=view.strides
        )
        block = whole[roi.relative_to(transfer.origin).to_slice()]
        if transfer.write is not None:
            assert isinstance(volume, BlockwiseFileset)
            volume.write(roi, block, status=transfer.write)
            return BlockOutcome(nbytes_written=block.nbytes)
        volume.read(roi, out=block)
        return BlockOutcome(nbytes_read=block.nbytes)

    def close(self) -> None:
        """Nothing is the transfer's own: the volume stays open for the next one."""
