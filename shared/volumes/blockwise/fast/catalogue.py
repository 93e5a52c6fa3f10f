"""The layouts of block files that were met in a fileset; their voxels are read without HDF5."""

from __future__ import annotations

import fcntl
import os

import h5py
import numpy as np
from numpy.typing import NDArray

from ....geometry.roi import Roi, Shape
from . import contiguous, packed
from .contiguous import KnownBytes
from .packed import KnownChunk

Make = KnownBytes | KnownChunk

_MOST_MAKES = 4
_MOST_KEYS = 64
_TRIES = 16


class KnownFiles:
    """The makes of files that were met in a fileset, by the path of the dataset and the block's shape."""

    def __init__(self) -> None:
        # Tuples are replaced, never changed: threads need no lock.
        self._makes: dict[tuple[str, Shape], tuple[Make, ...]] = {}
        self._in_vain = 0
        self._ours: dict[tuple[str, Shape], KnownChunk] = {}

    def ours(self, internal: str, shape: Shape) -> KnownChunk | None:
        """The make of the packed files that are written here, once one was written by HDF5.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.

        Returns
        -------
        KnownChunk or None
        """
        return self._ours.get((internal, shape))

    def meet_ours(self, internal: str, shape: Shape, make: KnownChunk) -> None:
        """Keep the make of a packed file that is written here.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.
        make : KnownChunk
        """
        if len(self._ours) >= _MOST_KEYS:
            self._ours.clear()
        self._ours[internal, shape] = make
        self.meet(internal, shape, make)

    def makes(self, internal: str, shape: Shape) -> tuple[Make, ...]:
        """The known makes, with the one that was met last first.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.

        Returns
        -------
        tuple of Make
        """
        return self._makes.get((internal, shape), ())

    def read(
        self, path: str, internal: str, shape: Shape, part: Roi, target: NDArray | None
    ) -> NDArray | None:
        """Read a part of a block's voxels, if its file is of a make that is known.

        Parameters
        ----------
        path : str
            The block file.
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.
        part : Roi
            Relative to the block.
        target : ndarray of shape ``part.shape``, optional
            Writable; filled if it has the dtype of the file, else it may hold anything.

        Returns
        -------
        ndarray or None
            None if the file is of no known make.

        Raises
        ------
        BlockingIOError
            If an HDF5 writer has the file open.
        OSError
            If it can't be opened or read.
        """
        makes = self.makes(internal, shape)
        if not makes:
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _share(descriptor)
            for make in makes:
                voxels = target
                if voxels is None or voxels.dtype != make.dtype:
                    voxels = np.empty(part.shape, make.dtype)
                if make.read(descriptor, shape, part, voxels):
                    self.meet(internal, shape, make)
                    self._in_vain = 0
                    return voxels
        finally:
            os.close(descriptor)
        return None

    def meet(self, internal: str, shape: Shape, make: Make) -> None:
        """Add a make that was met.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.
        make : KnownBytes or KnownChunk
        """
        if make is next(iter(self.makes(internal, shape)), None):
            return
        others = tuple(other for other in self.makes(internal, shape) if other != make)
        if len(self._makes) >= _MOST_KEYS:
            self._makes.clear()
        self._makes[internal, shape] = (make, *others)[:_MOST_MAKES]

    def learn(
        self, internal: str, file: h5py.h5f.FileID, dataset: h5py.h5d.DatasetID, part: Roi, voxels: NDArray
    ) -> None:
        """Learn the make of a file that HDF5 has just read, if possible.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        file : h5py.h5f.FileID
        dataset : h5py.h5d.DatasetID
        part : Roi
            The part that was read, relative to the block.
        voxels : ndarray of shape ``part.shape``
            The voxels that HDF5 read; they check the make.
        """
        if self._in_vain >= _TRIES:
            return  # here each file is of another make
        self._in_vain += 1
        make = contiguous.make_of(file, dataset) or packed.make_of(file, dataset)
        if make is None:
            return
        again = np.empty(voxels.shape, voxels.dtype)
        if make.read(file.get_vfd_handle(), dataset.shape, part, again) and _same_bits(again, voxels):
            self.meet(internal, dataset.shape, make)


def _same_bits(one: NDArray, other: NDArray) -> bool:
    return one.tobytes() == other.tobytes()


# As HDF5 understands it; it locks no file then.
_LOCKS = os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0")


def _share(descriptor: int) -> None:
    """Take the lock under which HDF5 reads; closing the descriptor gives it back.

    Raises
    ------
    BlockingIOError
    """
    if not _LOCKS:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # a file system without locks: HDF5 goes on as well
