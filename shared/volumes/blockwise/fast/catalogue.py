"""Templates of the block files of a fileset: files that match one are read without HDF5."""

from __future__ import annotations

import fcntl
import os

import h5py
import numpy as np
from numpy.typing import NDArray

from ....geometry.roi import Roi, Shape
from . import contiguous, packed
from .contiguous import ContiguousTemplate
from .packed import ChunkTemplate

Template = ContiguousTemplate | ChunkTemplate

_MOST_TEMPLATES = 4
_MOST_KEYS = 64
_MOST_FAILURES = 16


class FileTemplates:
    """The templates of a fileset's block files, by the path of the dataset and the block's shape."""

    def __init__(self) -> None:
        # Tuples are replaced, never changed: threads need no lock.
        self._templates: dict[tuple[str, Shape], tuple[Template, ...]] = {}
        self._failures = 0
        self._for_writing: dict[tuple[str, Shape], ChunkTemplate] = {}

    def for_writing(self, internal: str, shape: Shape) -> ChunkTemplate | None:
        """The template for writing packed files; None until HDF5 has written one.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.

        Returns
        -------
        ChunkTemplate or None
        """
        return self._for_writing.get((internal, shape))

    def add_for_writing(self, internal: str, shape: Shape, template: ChunkTemplate) -> None:
        """Add the template of a packed file that HDF5 has written here.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.
        template : ChunkTemplate
        """
        if len(self._for_writing) >= _MOST_KEYS:
            self._for_writing.clear()
        self._for_writing[internal, shape] = template
        self.add(internal, shape, template)

    def get(self, internal: str, shape: Shape) -> tuple[Template, ...]:
        """The templates of these files, the one that was used last first.

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
        return self._templates.get((internal, shape), ())

    def read(
        self, path: str, internal: str, shape: Shape, roi_in_block: Roi, target: NDArray | None
    ) -> NDArray | None:
        """Read a part of a block's voxels, if a template matches its file.

        Parameters
        ----------
        path : str
            The block file.
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.
        roi_in_block : Roi
            Relative to the block.
        target : ndarray of shape ``roi_in_block.shape``, optional
            Writable; filled if it has the dtype of the file, else it may hold anything.

        Returns
        -------
        ndarray or None
            None if no template matches.

        Raises
        ------
        BlockingIOError
            If an HDF5 writer has the file open.
        OSError
            If it can't be opened or read.
        """
        templates = self.get(internal, shape)
        if not templates:
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _share(descriptor)
            for template in templates:
                voxels = target
                if voxels is None or voxels.dtype != template.dtype:
                    voxels = np.empty(roi_in_block.shape, template.dtype)
                if template.read(descriptor, shape, roi_in_block, voxels):
                    self.add(internal, shape, template)
                    self._failures = 0
                    return voxels
        finally:
            os.close(descriptor)
        return None

    def checksum(self, path: str, internal: str, voxels: NDArray) -> tuple[int, int] | None:
        """Size and CRC-32 of a block file, if its voxels lie in one piece: then few other bytes are read.

        Parameters
        ----------
        path : str
            The block file.
        internal : str
            Path of the dataset.
        voxels : ndarray
            All voxels of the block, as they were just read from it.

        Returns
        -------
        tuple of int, or None
            None if it can't be told in this way.
        """
        template = next(iter(self.get(internal, voxels.shape)), None)
        if not isinstance(template, ContiguousTemplate):
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None  # the check of the whole file says why
        try:
            value = template.checksum(descriptor, voxels)
        finally:
            os.close(descriptor)
        return None if value is None else (template.size_bytes, value)

    def add(self, internal: str, shape: Shape, template: Template) -> None:
        """Add a template, or move it to the front.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        shape : tuple of int
            Of the whole block, in voxels.
        template : ContiguousTemplate or ChunkTemplate
        """
        if template is next(iter(self.get(internal, shape)), None):
            return
        others = tuple(other for other in self.get(internal, shape) if other != template)
        if len(self._templates) >= _MOST_KEYS:
            self._templates.clear()
        self._templates[internal, shape] = (template, *others)[:_MOST_TEMPLATES]

    def learn(
        self,
        internal: str,
        file: h5py.h5f.FileID,
        dataset: h5py.h5d.DatasetID,
        roi_in_block: Roi,
        voxels: NDArray,
    ) -> None:
        """Learn the template of a file that HDF5 has just read, if possible.

        Parameters
        ----------
        internal : str
            Path of the dataset.
        file : h5py.h5f.FileID
        dataset : h5py.h5d.DatasetID
        roi_in_block : Roi
            The part that was read, relative to the block.
        voxels : ndarray of shape ``roi_in_block.shape``
            The voxels that HDF5 read; the template must read the same.
        """
        if self._failures >= _MOST_FAILURES:
            return  # here each file would need a template of its own
        self._failures += 1
        template = contiguous.template_of(file, dataset) or packed.template_of(file, dataset)
        if template is None:
            return
        template_voxels = np.empty(voxels.shape, voxels.dtype)
        if template.read(file.get_vfd_handle(), dataset.shape, roi_in_block, template_voxels) and _same_bits(
            template_voxels, voxels
        ):
            self.add(internal, dataset.shape, template)


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
