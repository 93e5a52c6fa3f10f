"""The interface that every volume has, whatever lies behind it."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape

Verdict = Literal["ok", "unchecked", "missing"]


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


class RecordedBlocks(Protocol):
    """The records that a volume keeps of its stored blocks: size and checksum of each.

    Attributes
    ----------
    grid : BlockGrid
        The stored blocks.
    voxels_tell : bool
        True if `agrees` can compare voxels that were read; False if only whole files can be compared.
    """

    @property
    def grid(self) -> BlockGrid: ...
    @property
    def voxels_tell(self) -> bool: ...

    def block_status(self, start: Shape) -> bool:
        """True if the block that begins at `start` is available."""
        ...

    def block_file(self, start: Shape) -> str:
        """The file of a block."""
        ...

    def agrees(self, start: Shape, voxels: NDArray) -> bool:
        """True if the voxels of a whole block, as they were read, agree with its record."""
        ...

    def check_block(self, start: Shape) -> tuple[Verdict, int]:
        """Compare the file of a block with its record.

        Parameters
        ----------
        start : tuple of int
            First corner of the block.

        Returns
        -------
        verdict : {"ok", "unchecked", "missing"}
        nbytes : int
            Bytes that agree with the record.

        Raises
        ------
        CorruptBlock
            If they don't; the message is the reason alone.
        """
        ...

    def check_unrecorded(self, block: Roi) -> None:
        """Check shape and dtype of a block that has no checksum.

        Raises
        ------
        StorageError
            If they are not those of the volume.
        """
        ...

    def is_finished(self, roi: Roi) -> bool:
        """True if each block that `roi` touches was written by the job of the volume, and agrees."""
        ...


@runtime_checkable
class RecordedVolume(Protocol):
    """A volume that keeps a record of each of its stored blocks."""

    @property
    def records(self) -> RecordedBlocks: ...

    def write(self, roi: Any, data: NDArray, *, status: Any = ...) -> None:
        """Write voxels; `status` says which blocks are marked available then."""
        ...
