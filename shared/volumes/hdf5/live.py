"""Datasets of HDF5 files that a program is still writing in HDF5's SWMR mode, as with cameras."""

from __future__ import annotations

import os
from typing import Any

import h5py
from numpy.typing import NDArray

from ...errors import JobError
from ...files.places import absolute
from ...geometry.roi import Shape
from ...geometry.slicing import AnyRoi, checked_roi
from .volume import Hdf5Volume


class LiveHdf5Volume(Hdf5Volume):
    """One dataset of an HDF5 file that may grow meanwhile, with a fixed extent; for reading only.

    What h5py can read counts: a file whose writer has crashed can be read in the same way.

    Parameters
    ----------
    path : str or path
    internal : str
        Path of the dataset inside the file.
    extent : tuple of int, optional
        Voxels per axis that are read, whatever is appended later. Default: those that the file has
        when it is opened.

    Raises
    ------
    JobError
        At the first use, if the dataset is smaller than `extent`.
    """

    def __init__(self, path: str | os.PathLike[str], internal: str, extent: Shape | None = None) -> None:
        super().__init__(path, internal)
        self._extent = extent

    @property
    def shape(self) -> Shape:
        """Voxels per axis."""
        held = self._open().dataset.shape
        if self._extent is None:
            self._extent = held
        if len(held) != len(self._extent) or any(n < m for n, m in zip(held, self._extent, strict=True)):
            raise JobError(
                f"{self.address} has shape {list(held)}, and had {list(self._extent)} when the job began"
            )
        return self._extent

    def read(self, roi: AnyRoi = None, out: NDArray | None = None) -> NDArray:
        """Read the voxels of `roi`, which lies in the fixed extent.

        Parameters
        ----------
        roi, out
            As for `Volume.read`.

        Returns
        -------
        ndarray of shape ``roi.shape``
        """
        roi = checked_roi(roi, self.shape, self.address)
        return super().read(roi, out)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (absolute(self._path), self._internal, self.shape)

    def _open_file(self) -> h5py.File:
        return h5py.File(self._path, "r", swmr=True)
