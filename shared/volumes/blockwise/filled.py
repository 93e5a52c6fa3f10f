"""Reads of incomplete filesets: voxels that are there are read, those that are missing are filled."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import JobError, MissingBlock, StorageError
from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape
from ...geometry.slicing import AnyRoi, as_roi
from ..base.array_volume import ArrayVolume
from ..base.checks import check_out
from ..base.info import Meaning
from .fileset import BlockwiseFileset

Missing = Literal["raise", "pattern"] | float | int | bool
_STRIPE_VOXELS = 8


class Reading(NamedTuple):
    """Voxels, and the blocks of them that are only filling.

    Attributes
    ----------
    voxels : ndarray
    missing : tuple of tuple of int
        First corners, in the view, of the blocks that are missing.
    """

    voxels: Any
    missing: tuple[Shape, ...]


class FilledFileset(ArrayVolume):
    """A fileset to view while it is written: a volume for reading, with filling for missing blocks.

    The original's operator fills the *whole* request with a pattern as soon as one block is missing, which
    hides the others; this one fills no voxel of a block that can be read, and reports the missing
    blocks. Its pattern is of 0 and 1 for every dtype, by mistake; here it reaches from the lowest
    to the highest value that can be shown.

    Parameters
    ----------
    fileset : BlockwiseFileset, or path of a description
        Also a `RESTfulBlockwiseFileset`: its block is missing if the server did not deliver it.
    missing : {"raise", "pattern"} or number
        For missing blocks: raise `MissingBlock`; fill in diagonal stripes, 8 voxels wide,
        that go on across the borders of rois and blocks; or fill in this number.

    Raises
    ------
    JobError
        If the number does not fit the dtype, or the description is missing or wrong.
    """

    def __init__(
        self, fileset: BlockwiseFileset | str | os.PathLike[str], missing: Missing = "pattern"
    ) -> None:
        self._fileset = fileset if isinstance(fileset, BlockwiseFileset) else BlockwiseFileset(fileset)
        self._missing = missing
        self._low, self._high = _extremes(self._fileset)
        if isinstance(missing, str):
            if missing not in ("raise", "pattern"):
                raise JobError(f'missing is {missing!r}, expected "raise", "pattern" or a number')
        elif not _fits(missing, self.dtype):
            raise JobError(f"{missing!r} is no value of dtype {self.dtype}; choose one for missing blocks")

    @property
    def shape(self) -> Shape:
        """Voxels of the view, per axis."""
        return self._fileset.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self._fileset.dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self._fileset.axes

    @property
    def meaning(self) -> Meaning:
        """What the voxels mean, as the description has it."""
        return self._fileset.meaning

    @property
    def block_shape(self) -> Shape:
        """Voxels per block file."""
        return self._fileset.block_shape

    @property
    def drange(self) -> tuple[float, float] | None:
        """Lowest and highest value, if the description has them."""
        return self._fileset.description.drange

    @property
    def address(self) -> str:
        """Absolute path of the description file."""
        return self._fileset.address

    def read(self, roi: AnyRoi = None, out: Any = None) -> Any:
        """Read the voxels of `roi`, with missing ones filled.

        Parameters
        ----------
        roi, out
            As for `BlockwiseFileset.read`.

        Returns
        -------
        ndarray of shape ``roi.shape``
            `out` if it was given, else a new array.
        """
        return self.read_and_report(roi, out).voxels

    def read_and_report(self, roi: AnyRoi = None, out: Any = None) -> Reading:
        """Read the voxels of `roi`, and report the missing blocks.

        A roi without missing blocks costs what `BlockwiseFileset.read` costs.

        Parameters
        ----------
        roi, out
            As for `BlockwiseFileset.read`.

        Returns
        -------
        Reading

        Raises
        ------
        MissingBlock
            With ``missing="raise"`` alone.
        OutOfBounds, CorruptBlock, LockTimeout, StorageError
            As for `BlockwiseFileset.read`; a block that is there and damaged is no missing one.
        """
        roi = as_roi(roi, self.shape)
        try:
            return Reading(self._fileset.read(roi, out), ())
        except MissingBlock:
            if self._missing == "raise":
                raise
        if out is None:
            out = np.empty(roi.shape, self.dtype)
        check_out(roi, out)
        missing: list[Shape] = []
        for piece in BlockGrid(roi, self.block_shape):
            slices = piece.relative_to(roi.start).to_slice()
            try:
                out[slices] = self._fileset.read(piece)
            except MissingBlock:
                out[slices] = self._fill(piece)
                missing.append(tuple(a // n * n for a, n in zip(piece.start, self.block_shape, strict=True)))
        return Reading(out, tuple(missing))

    def _fill(self, roi: Roi) -> Any:
        if not isinstance(self._missing, str):
            return self._missing
        axes = [
            np.arange(a, b).reshape(-1, *(1,) * (roi.ndim - 1 - i))
            for i, (a, b) in enumerate(zip(roi.start, roi.stop, strict=True))
        ]
        stripes: NDArray = sum(axes[1:], axes[0]) // _STRIPE_VOXELS % 2
        return np.where(stripes == 1, self._high, self._low).astype(self.dtype)

    def write(self, roi: AnyRoi, data: NDArray) -> None:
        """Refuse to write: this is for reading.

        Parameters
        ----------
        roi, data
            As for any volume; not used.

        Raises
        ------
        StorageError
            Always.
        """
        raise StorageError(f"{self.address} is open for reading only; write to the fileset itself")

    def close(self) -> None:
        """Nothing is held open."""


def _extremes(fileset: BlockwiseFileset) -> tuple[Any, Any]:
    """The lowest and highest value of the pattern."""
    if fileset.description.drange is not None:
        return fileset.description.drange
    if fileset.dtype.kind in "iu":
        return 0, np.iinfo(fileset.dtype).max
    return 0, 1


def _fits(value: float, dtype: np.dtype) -> bool:
    if dtype.kind in "iu":
        return float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
    return dtype.kind in "fcb"
