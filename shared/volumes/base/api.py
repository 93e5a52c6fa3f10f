"""The interface that every volume has, whatever lies behind it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...geometry.roi import Roi, Shape


@runtime_checkable
class Volume(Protocol):
    """An n-dimensional array that is read, and perhaps written, by roi.

    Attributes
    ----------
    shape : tuple of int
        Extent in voxels, in `axes` order.
    dtype : numpy.dtype
        Element type of the arrays that `read` returns.
    axes : str
        One letter per axis, the first varies slowest (C order).
    block_shape : tuple of int or None
        The storage tile that one writer should own whole: block file, chunk. None: any.
    address : str
        The address of the volume, as a person would write it.
    """

    @property
    def shape(self) -> Shape: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def axes(self) -> str: ...
    @property
    def block_shape(self) -> Shape | None: ...
    @property
    def address(self) -> str: ...

    def read(self, roi: Roi, out: NDArray | None = None) -> NDArray:
        """Read the voxels of `roi` into `out`, or into a fresh array.

        Parameters
        ----------
        roi : Roi
            Within ``[0, shape)``, not empty.
        out : ndarray of shape ``roi.shape``, optional
            Filled, with numpy's unsafe casting if its dtype differs.

        Returns
        -------
        ndarray of shape ``roi.shape``
            `out` if it was given, else a new array of the volume's dtype.

        Raises
        ------
        OutOfBounds
            If `roi` is empty or leaves the volume.
        MissingBlock
            If some part was never written; `out` may then be partly filled.
        StorageError
            If the storage can't be read; the message names file and reason.
        """
        ...

    def write(self, roi: Roi, data: NDArray) -> None:
        """Write voxels.

        Parameters
        ----------
        roi : Roi
            Within ``[0, shape)``, not empty.
        data : ndarray of shape ``roi.shape``
            Of exactly the volume's dtype.

        Raises
        ------
        OutOfBounds
            If `roi` is empty or leaves the volume.
        ValueError
            If the shape or the dtype of `data` differs.
        StorageError
            If the storage can't be written.
        """
        ...

    def close(self) -> None:
        """Release files; closing twice is harmless."""
        ...
