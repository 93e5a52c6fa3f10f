"""The bytes of block files around voxels that lie in one piece.

Block files that one program has written in one way, with the voxels in one piece, differ in nothing
but the voxels: the rest is their *template*. So a file whose other bytes all equal those of a file
that HDF5 has read has its voxels at the same offset, and nothing of it needs to be parsed. HDF5 itself
reports these offsets; they are checked against voxels that it has read or written. HDF5 reads any file
that differs in a single byte, or in its size.
"""

from __future__ import annotations

import functools
import math
import os
import struct
from dataclasses import dataclass

import h5py
import h5py.h5g
import h5py.h5o
import numpy as np
from numpy.typing import NDArray

from ....files.checksum import crc32_of
from ....geometry.roi import Roi, Shape
from ...hdf5.layout import DatasetLayout, build_image
from .raw import read_planes

_MOST_OTHER_BYTES = 1 << 20
_LARGEST_SAMPLE_BYTES = 1 << 26


@dataclass(frozen=True)
class ContiguousTemplate:
    """The bytes before and behind the voxels of block files that are equal in everything else.

    Attributes
    ----------
    head, tail : bytes
    dtype : numpy.dtype
        Of the voxels between them.
    data_bytes : int
        Number of bytes of voxels between them.
    time_at : int or None
        Offset in `head` of the four bytes with the time at which the file was made, if it has
        them: they may differ.
    """

    head: bytes
    tail: bytes
    dtype: np.dtype
    data_bytes: int
    time_at: int | None = None

    @functools.cached_property
    def head_checksum(self) -> int:
        """CRC-32 of the head."""
        return crc32_of(self.head)

    @property
    def size_bytes(self) -> int:
        """Size of such a file."""
        return len(self.head) + self.data_bytes + len(self.tail)

    def read(self, descriptor: int, shape: Shape, roi_in_block: Roi, target: NDArray) -> bool:
        """Read a part of the voxels, if the open file matches this template.

        Parameters
        ----------
        descriptor : int
            The open file.
        shape : tuple of int
            Of the whole block.
        roi_in_block : Roi
            Relative to the block.
        target : ndarray of shape ``roi_in_block.shape``
            Of the template's dtype, and writable.

        Returns
        -------
        bool
            False if the file does not match; then `target` may hold anything.
        """
        # One byte more than there should be: then a file that is too long shows.
        head, tail = bytearray(len(self.head)), bytearray(len(self.tail) + 1)
        if not read_planes(descriptor, head, tail, shape, roi_in_block, target):
            return False
        if self.time_at is not None:
            at = slice(self.time_at, self.time_at + 4)
            head[at] = self.head[at]
        return head == self.head and tail[:-1] == self.tail

    def checksum(self, descriptor: int, voxels: NDArray) -> int | None:
        """CRC-32 of an open file, from its voxels in memory and the rest of its bytes.

        Parameters
        ----------
        descriptor : int
            The open file.
        voxels : ndarray
            All voxels of the block, as they were read from it.

        Returns
        -------
        int or None
            None if the file has another size, or its voxels another dtype.
        """
        if voxels.dtype != self.dtype or voxels.nbytes != self.data_bytes:
            return None
        head, tail = bytearray(len(self.head)), bytearray(len(self.tail) + 1)
        if os.preadv(descriptor, [head], 0) != len(head):
            return None
        if os.preadv(descriptor, [tail], len(head) + self.data_bytes) != len(tail) - 1:
            return None
        value = crc32_of(voxels, crc32_of(memoryview(head)))
        return crc32_of(memoryview(tail)[:-1], value)


def template_of(file: h5py.h5f.FileID, dataset: h5py.h5d.DatasetID) -> ContiguousTemplate | None:
    """The template of an open file.

    Parameters
    ----------
    file : h5py.h5f.FileID
    dataset : h5py.h5d.DatasetID
        The dataset of its voxels.

    Returns
    -------
    ContiguousTemplate or None
        None if the voxels do not lie in one piece.
    """
    plist, dtype = dataset.get_create_plist(), dataset.dtype
    offset = dataset.get_offset()
    fileno = h5py.h5o.get_info(dataset).fileno
    plain = (
        plist.get_layout() == h5py.h5d.CONTIGUOUS
        and plist.get_external_count() == 0
        and offset is not None
        and fileno == h5py.h5o.get_info(file).fileno
        and dataset.get_type().equal(h5py.h5t.py_create(dtype, logical=True))
    )
    if not plain or offset is None:
        return None
    data_bytes = math.prod(dataset.shape) * dtype.itemsize
    descriptor = file.get_vfd_handle()
    size_bytes = os.fstat(descriptor).st_size
    end = offset + data_bytes
    if not end <= size_bytes <= data_bytes + _MOST_OTHER_BYTES:
        return None
    head = os.pread(descriptor, offset, 0)
    tail = os.pread(descriptor, size_bytes - end, end)
    return ContiguousTemplate(
        head, tail, dtype, data_bytes, _time_in(head, h5py.h5g.get_objinfo(dataset).mtime)
    )


def _time_in(head: bytes, time_s: int) -> int | None:
    """Offset of the time of making, if that is the only place with these bytes."""
    text = struct.pack("<I", time_s & 0xFFFFFFFF)
    return head.index(text) if time_s and head.count(text) == 1 else None


@functools.lru_cache(maxsize=64)
def template_of_new(layout: DatasetLayout, internal: str, shape: Shape) -> ContiguousTemplate | None:
    """The template of new block files.

    Parameters
    ----------
    layout : DatasetLayout
    internal : str
        Path of the dataset.
    shape : tuple of int
        Of the block, in voxels.

    Returns
    -------
    ContiguousTemplate or None
        None if the voxels do not lie in one piece.

    Raises
    ------
    StorageError
        If h5py can't lay the dataset out this way.
    """
    data_bytes = math.prod(shape) * layout.dtype.itemsize
    if layout.chunks or layout.compression or not 0 < data_bytes <= _LARGEST_SAMPLE_BYTES:
        return None
    sample = np.resize(np.arange(251, dtype="u1"), data_bytes).view(layout.dtype).reshape(shape)
    image, offset = build_image(
        layout, internal, shape, Roi.from_shape(shape), sample, lambda dataset: dataset.get_offset()
    )
    if offset is None or image[offset : offset + data_bytes] != sample.tobytes():
        return None
    return ContiguousTemplate(image[:offset], image[offset + data_bytes :], layout.dtype, data_bytes)
