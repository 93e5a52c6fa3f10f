"""What makes a volume go where an array goes: into numpy, dask and napari."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import BlockmillError
from ...geometry.roi import Roi, Shape
from ...geometry.slicing import AnyRoi, picks_of


class ArrayVolume(ABC):
    """The base of all volumes: indexed as an array is, each time read from storage.

    ``volume[0:64, ..., 5]`` is the array that the same index takes of the whole. Ints, slices of any step
    and ``...`` are understood. Nothing is kept: who needs voxels twice keeps the array. A subclass gives
    what the `Volume` protocol asks for.
    """

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Voxels per axis."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype:
        """Element type."""

    @property
    @abstractmethod
    def axes(self) -> str:
        """One letter per axis."""

    @property
    @abstractmethod
    def block_shape(self) -> Shape | None:
        """Voxels of a storage block, or None: any."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The address, as a person would write it."""

    @abstractmethod
    def read(self, roi: AnyRoi = None, out: Any = None) -> Any:
        """Read the voxels of `roi`, all by default; see `Volume.read`.

        Parameters
        ----------
        roi : Roi, pair of corners or slicing, optional
        out : ndarray, optional

        Returns
        -------
        ndarray
        """

    @abstractmethod
    def write(self, roi: AnyRoi, data: NDArray) -> None:
        """Write voxels; see `Volume.write`.

        Parameters
        ----------
        roi : Roi, pair of corners, slicing, or None
        data : ndarray of shape ``roi.shape``
        """

    @abstractmethod
    def close(self) -> None:
        """Release files; closing twice is harmless."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        picks = picks_of(key, self.shape)
        ranges = [pick if isinstance(pick, range) else range(pick, pick + 1) for pick in picks]
        voxels = self._picked(ranges)
        return voxels[tuple(slice(None) if isinstance(pick, range) else 0 for pick in picks)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(
                f"the voxels of {self.address} are read from storage, so an array of them is a copy"
            )
        voxels = self.read()
        return voxels if dtype is None else voxels.astype(dtype, copy=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            facts = f", shape={self.shape}, dtype={self.dtype}, axes={self.axes!r}"
        except BlockmillError:  # a closed one, or one whose file is gone
            facts = ""
        return f"{type(self).__name__}({self.address!r}{facts})"

    def _picked(self, ranges: list[range]) -> NDArray[Any]:
        """The voxels of a range of indices along each axis."""
        if not all(map(len, ranges)):
            return np.empty(tuple(map(len, ranges)), self.dtype)
        upwards = [indices if indices.step > 0 else indices[::-1] for indices in ranges]
        flips = tuple(slice(None, None, 1 if indices.step > 0 else -1) for indices in ranges)
        return self._gathered(upwards)[flips]

    def _gathered(self, ranges: list[range]) -> NDArray[Any]:
        """The voxels of ascending ranges; along the first one with gaps, a storage block at a time."""
        axis = next((axis for axis, indices in enumerate(ranges) if _has_gaps(indices)), None)
        if axis is None:
            return self._strided(ranges)
        extent = self.block_shape[axis] if self.block_shape else 1
        voxels = np.empty(tuple(map(len, ranges)), self.dtype)
        ahead, at = (slice(None),) * axis, 0
        for _, run in itertools.groupby(ranges[axis], lambda index: index // extent):
            end = at + len(list(run))
            part = [*ranges[:axis], ranges[axis][at:end], *ranges[axis + 1 :]]
            voxels[(*ahead, slice(at, end))] = self._strided(part)
            at = end
        return voxels

    def _strided(self, ranges: list[range]) -> NDArray[Any]:
        """The voxels of ascending ranges, out of the box around them."""
        roi = Roi(tuple(indices[0] for indices in ranges), tuple(indices[-1] + 1 for indices in ranges))
        return self.read(roi)[tuple(slice(None, None, indices.step) for indices in ranges)]


def _has_gaps(indices: range) -> bool:
    return indices.step > 1 and len(indices) > 1
