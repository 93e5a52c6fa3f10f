"""A volume that is an array in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...geometry.roi import Shape
from ...geometry.slicing import AnyRoi, checked_roi
from .array_volume import ArrayVolume
from .checks import check_data, check_out, checked_axes, checked_dtype, default_axes
from .info import Meaning

__all__ = ["MemoryVolume", "default_axes"]


class MemoryVolume(ArrayVolume):
    """An ndarray as a volume; writes change that very array.

    Parameters
    ----------
    array : ndarray
        Of numbers or bools.
    axes : str, optional
        One letter per axis. Default: the last letters of ``tczyx``.
    block_shape : tuple of int, optional
        Voxels that a writer should own whole.
    address : str
        For messages.

    Raises
    ------
    JobError
        If `axes` does not fit, or the dtype is not supported.
    """

    def __init__(
        self,
        array: NDArray,
        axes: str | None = None,
        *,
        block_shape: Shape | None = None,
        address: str = "array in memory",
    ) -> None:
        self._array = np.asarray(array)
        checked_dtype(self._array.dtype, address)
        self._axes = checked_axes(axes, self._array.ndim, address)
        self._guessed = axes is None
        self._block_shape = block_shape
        self._address = address

    @property
    def array(self) -> NDArray:
        """The array itself."""
        return self._array

    @property
    def shape(self) -> Shape:
        """Voxels per axis."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self._array.dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self._axes

    @property
    def meaning(self) -> Meaning:
        """Nothing but the axes."""
        return Meaning(axes=self._axes, axes_from="guess" if self._guessed else "file")

    @property
    def block_shape(self) -> Shape | None:
        """As given."""
        return self._block_shape

    @property
    def address(self) -> str:
        """As given."""
        return self._address

    def read(self, roi: AnyRoi = None, out: NDArray | None = None) -> NDArray:
        """Copy the voxels of `roi`.

        Parameters
        ----------
        roi, out
            As for `Volume.read`, as are result and errors.

        Returns
        -------
        ndarray of shape ``roi.shape``
        """
        roi = checked_roi(roi, self.shape, self._address)
        if out is None:
            return np.array(self._array[roi.to_slice()], order="C")
        check_out(roi, out)
        out[...] = self._array[roi.to_slice()]
        return out

    def write(self, roi: AnyRoi, data: NDArray) -> None:
        """Copy `data` into the array.

        Parameters
        ----------
        roi, data
            As for `Volume.write`.
        """
        roi = checked_roi(roi, self.shape, self._address)
        check_data(roi, data, self.dtype, self._address)
        self._array[roi.to_slice()] = data

    def close(self) -> None:
        """Nothing is held."""
