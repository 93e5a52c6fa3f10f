"""What block files look like whose voxels are one compressed chunk, at the end of the file.

As in `contiguous`, but two numbers differ from file to file with the size of the chunk: that size,
and the size of the file. Where they stand is found in a file that HDF5 has read or written, and
only if they stand in one place alone; in another file both must say what the size of the file
asks for, and all other bytes before the chunk must be the same.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from typing import NamedTuple

import h5py
import h5py.h5o
import numpy as np
from numpy.typing import NDArray

from ....geometry.roi import Roi, Shape
from ...hdf5.codecs import Pipeline, packs, pipeline_of, unpacked, unpacks
from ...hdf5.layout import DatasetLayout, image_and_more
from ...hdf5.rows import copy_rows, scratch

_MOST_HEAD_BYTES = 1 << 20
_LARGEST_CHUNK_BYTES = 1 << 26
# An unpacked chunk that is no smaller than the packed one is kept as it is, or all but.
_ROOM_TO_GROW_BYTES = 1 << 12


@dataclass(frozen=True)
class KnownChunk:
    """The bytes before the chunk in the files of one make.

    Attributes
    ----------
    head : bytes
        With zeros for the two numbers.
    dtype : numpy.dtype
    shape : tuple of int
        Of the chunk, which is all of the block.
    pipeline : tuple
        How the chunk is packed; see `codecs`.
    chunk_at, end_at : int
        Where in `head` the size of the chunk (4 bytes) and that of the file (8 bytes) stand.
    """

    head: bytes
    dtype: np.dtype
    shape: Shape
    pipeline: Pipeline
    chunk_at: int
    end_at: int

    @property
    def data_bytes(self) -> int:
        """What the chunk has unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize

    def head_for(self, chunk_bytes: int) -> bytes:
        """The bytes before a chunk of a given size."""
        return _with_numbers(self.head, self.chunk_at, chunk_bytes, self.end_at, len(self.head) + chunk_bytes)

    def read(self, descriptor: int, shape: Shape, part: Roi, target: NDArray) -> bool:
        """As `KnownBytes.read`."""
        head, room = bytearray(len(self.head)), scratch(self.data_bytes + _ROOM_TO_GROW_BYTES)
        chunk_bytes = os.preadv(descriptor, [head, room.data], 0) - len(head)
        if not 0 < chunk_bytes < len(room) or head != self.head_for(chunk_bytes):
            return False
        voxels = unpacked(room[:chunk_bytes].data, 0, self.pipeline, self.data_bytes)
        if voxels is None or shape != self.shape:
            return False
        copy_rows(target, np.frombuffer(voxels, self.dtype).reshape(shape)[part.to_slice()])
        return True


def _with_numbers(head: bytes, chunk_at: int, chunk_bytes: int, end_at: int, end: int) -> bytes:
    result = bytearray(head)
    struct.pack_into("<I", result, chunk_at, chunk_bytes)
    struct.pack_into("<Q", result, end_at, end)
    return bytes(result)


class _Seen(NamedTuple):
    """What HDF5 tells about the one chunk of a dataset."""

    offset: int
    size_bytes: int
    dtype: np.dtype
    shape: Shape
    pipeline: Pipeline


def make_of(file: h5py.h5f.FileID, dataset: h5py.h5d.DatasetID) -> KnownChunk | None:
    """The make of an open file; None where its voxels are not one chunk at its end."""
    descriptor = file.get_vfd_handle()
    seen = _look(dataset)
    if seen is None or seen.offset + seen.size_bytes != os.fstat(descriptor).st_size:
        return None
    if h5py.h5o.get_info(dataset).fileno != h5py.h5o.get_info(file).fileno:
        return None
    return _make(os.pread(descriptor, seen.offset, 0), seen)


def _look(dataset: h5py.h5d.DatasetID) -> _Seen | None:
    """Look at a dataset; None if it is not one chunk that is packed."""
    plist, dtype, shape = dataset.get_create_plist(), dataset.dtype, dataset.shape
    if plist.get_layout() != h5py.h5d.CHUNKED or plist.get_chunk() != shape or not plist.get_nfilters():
        return None
    same_type = dataset.get_type().equal(h5py.h5t.py_create(dtype, logical=True))
    if not same_type or dataset.get_num_chunks() != 1:
        return None
    chunk = dataset.get_chunk_info(0)
    too_large = math.prod(shape) * dtype.itemsize > _LARGEST_CHUNK_BYTES
    if chunk.filter_mask or too_large or not 0 < chunk.byte_offset <= _MOST_HEAD_BYTES:
        return None
    pipeline = pipeline_of(plist)
    return _Seen(chunk.byte_offset, chunk.size, dtype, shape, pipeline) if unpacks(pipeline) else None


def _make(head: bytes, seen: _Seen) -> KnownChunk | None:
    numbers = struct.pack("<I", seen.size_bytes), struct.pack("<Q", seen.offset + seen.size_bytes)
    if [head.count(number) for number in numbers] != [1, 1]:
        return None
    chunk_at, end_at = (head.index(number) for number in numbers)
    if end_at - 4 < chunk_at < end_at + 8:
        return None
    blank = _with_numbers(head, chunk_at, 0, end_at, 0)
    return KnownChunk(blank, seen.dtype, seen.shape, seen.pipeline, chunk_at, end_at)


def image_and_make(layout: DatasetLayout, internal: str, data: NDArray) -> tuple[bytes, KnownChunk | None]:
    """The bytes of a new block file of all voxels, and its make, where it is one chunk that `packed` packs.

    Raises
    ------
    StorageError
        If h5py can't lay the dataset out this way.
    """
    image, seen = image_and_more(layout, internal, data.shape, Roi.from_shape(data.shape), data, _look)
    if seen is None or seen.offset + seen.size_bytes != len(image) or not packs(seen.pipeline):
        return image, None
    return image, _make(image[: seen.offset], seen)
