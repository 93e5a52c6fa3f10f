"""The inputs of a job in a worker: opened together, and read together, each with its check."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..shared.errors import JobError
from ..shared.geometry.roi import Roi, Shape
from ..shared.memory.arena import attach_array
from ..shared.messages import engine as wire
from ..shared.volumes.base.api import Volume
from ..shared.volumes.base.memory import MemoryVolume
from ..shared.volumes.registry import open_at, split_input
from .input_check import NoCheck, input_check
from .output import address_of


class _Input(NamedTuple):
    volume: Volume
    check: NoCheck


class Sources:
    """The opened inputs of a job, all of one shape.

    Parameters
    ----------
    sources : tuple of Source

    Attributes
    ----------
    first : Volume
        The first input.
    dtypes : dict of str to numpy.dtype
        Of each input, by its name.

    Raises
    ------
    BlockmillError
        If one can't be opened.
    """

    def __init__(self, sources: tuple[wire.Source, ...]) -> None:
        self._inputs: dict[str, _Input] = {}
        try:
            for source in sources:
                volume = open_source(source)
                self._inputs[source.name] = _Input(volume, NoCheck())
                self._check_shape(volume)
                self._inputs[source.name] = _Input(volume, input_check(source.check, volume))
        except BaseException:
            self.close()
            raise
        self.first = next(iter(self._inputs.values())).volume
        self.dtypes = {name: one.volume.dtype for name, one in self._inputs.items()}

    def _check_shape(self, volume: Volume) -> None:
        """Refuse a volume that got another shape since the job was planned: blocks would not fit."""
        first = next(iter(self._inputs.values())).volume
        if volume.shape != first.shape:
            raise JobError(
                f"the inputs have different shapes: {first.address} {list(first.shape)}, "
                f"{volume.address} {list(volume.shape)}"
            )

    @property
    def shape(self) -> Shape:
        """Voxels per axis of each input."""
        return self.first.shape

    def read(self, kept_roi: Roi, read_roi: Roi) -> tuple[dict[str, NDArray[Any]], int]:
        """Read a box of each input, and check the blocks that were stored by jobs of ours.

        Parameters
        ----------
        kept_roi : Roi
            The voxels that belong to the task, without halo.
        read_roi : Roi
            The voxels to read.

        Returns
        -------
        blocks : dict of str to ndarray of shape ``read_roi.shape``
        unrecorded : int
            Number of stored blocks that have no record to check them by.

        Raises
        ------
        BlockmillError
            If something can't be read, or a block does not agree with its record.
        """
        blocks, unrecorded = {}, 0
        for name, one in self._inputs.items():
            blocks[name], missing = _read_checked(one, kept_roi, read_roi)
            unrecorded += missing
        return blocks, unrecorded

    def read_into(self, roi: Roi, out: NDArray[Any]) -> int:
        """Read a box of the only input into an array; checked, and with the result, as by `read`.

        Parameters
        ----------
        roi : Roi
        out : ndarray of shape ``roi.shape``

        Returns
        -------
        int
            Number of stored blocks that have no record to check them by.
        """
        (one,) = self._inputs.values()
        return _read_checked(one, roi, roi, out)[1]

    def close(self) -> None:
        """Close the volumes."""
        for volume, check in self._inputs.values():
            check.close()
            volume.close()


def _read_checked(
    one: _Input, kept_roi: Roi, read_roi: Roi, out: NDArray[Any] | None = None
) -> tuple[NDArray[Any], int]:
    unrecorded = one.check.before_read(kept_roi, read_roi)
    voxels = one.volume.read(read_roi, out)
    return voxels, unrecorded + one.check.after_read(kept_roi, read_roi, voxels)


def open_source(source: wire.Source) -> Volume:
    """Open an input, from its address or in shared memory."""
    volume = source.volume
    if isinstance(volume, str):
        place = split_input(volume) if source.place is None else address_of(source.place)
        return open_at(place, volume, live=source.live_extent is not None, extent=source.live_extent)
    return MemoryVolume(attach_array(volume), axes=volume.axes)
