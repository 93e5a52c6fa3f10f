"""The bytes of block files whose voxels are one compressed chunk at the end of the file.

As in `contiguous`, but two numbers differ from file to file with the size of the chunk: that size,
and the size of the file. Their places are found in a file that HDF5 has read or written, and only
if each stands in one place alone. In another file both must agree with the size of the file, and
all other bytes before the chunk must be the same.
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
from ...hdf5.layout import DatasetLayout, build_image
from ...hdf5.rows import copy_rows, scratch

_MOST_HEAD_BYTES = 1 << 20
_LARGEST_CHUNK_BYTES = 1 << 26
# An unpacked chunk that is no smaller than the packed one is kept as it is, or all but.
_ROOM_TO_GROW_BYTES = 1 << 12


@dataclass(frozen=True)
class ChunkTemplate:
    """The bytes before the chunk of block files that are equal up to its content and size.

    Attributes
    ----------
    head : bytes
        With zeros for the two numbers.
    dtype : numpy.dtype
    shape : tuple of int
        Of the chunk, which is all of the block.
    pipeline : tuple
        Filters of the chunk; see `codecs`.
    chunk_at, end_at : int
        Offsets in `head` of the size of the chunk (4 bytes) and that of the file (8 bytes).
    """

    head: bytes
    dtype: np.dtype
    shape: Shape
    pipeline: Pipeline
    chunk_at: int
    end_at: int

    @property
    def data_bytes(self) -> int:
        """Size of the unpacked chunk."""
        return math.prod(self.shape) * self.dtype.itemsize

    def head_for(self, chunk_bytes: int) -> bytes:
        """The bytes before a chunk of a given size."""
        return _with_numbers(self.head, self.chunk_at, chunk_bytes, self.end_at, len(self.head) + chunk_bytes)

    def read(self, descriptor: int, shape: Shape, roi_in_block: Roi, target: NDArray) -> bool:
        """Read a part of the voxels, if the open file matches this template.

        Parameters
        ----------
        descriptor, shape, roi_in_block, target
            As for `ContiguousTemplate.read`.

        Returns
        -------
        bool
            False if the file does not match; then `target` may hold anything.
        """
        head, buffer = bytearray(len(self.head)), scratch(self.data_bytes + _ROOM_TO_GROW_BYTES)
        chunk_bytes = os.preadv(descriptor, [head, buffer.data], 0) - len(head)
        if not 0 < chunk_bytes < len(buffer) or head != self.head_for(chunk_bytes):
            return False
        voxels = unpacked(buffer[:chunk_bytes].data, 0, self.pipeline, self.data_bytes)
        if voxels is None or shape != self.shape:
            return False
        copy_rows(target, np.frombuffer(voxels, self.dtype).reshape(shape)[roi_in_block.to_slice()])
        return True


def _with_numbers(head: bytes, chunk_at: int, chunk_bytes: int, end_at: int, end: int) -> bytes:
    result = bytearray(head)
    struct.pack_into("<I", result, chunk_at, chunk_bytes)
    struct.pack_into("<Q", result, end_at, end)
    return bytes(result)


class _ChunkFacts(NamedTuple):
    """Facts from HDF5 about the one chunk of a dataset."""

    offset: int
    size_bytes: int
    dtype: np.dtype
    shape: Shape
    pipeline: Pipeline


def template_of(file: h5py.h5f.FileID, dataset: h5py.h5d.DatasetID) -> ChunkTemplate | None:
    """The template of an open file.

    Parameters
    ----------
    file : h5py.h5f.FileID
    dataset : h5py.h5d.DatasetID
        The dataset of its voxels.

    Returns
    -------
    ChunkTemplate or None
        None if the voxels are not one chunk at the end of the file.
    """
    descriptor = file.get_vfd_handle()
    facts = _chunk_facts(dataset)
    if facts is None or facts.offset + facts.size_bytes != os.fstat(descriptor).st_size:
        return None
    if h5py.h5o.get_info(dataset).fileno != h5py.h5o.get_info(file).fileno:
        return None
    return _template(os.pread(descriptor, facts.offset, 0), facts)


def _chunk_facts(dataset: h5py.h5d.DatasetID) -> _ChunkFacts | None:
    """Facts about the chunk of a dataset, or None if it is not one chunk that is packed."""
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
    return _ChunkFacts(chunk.byte_offset, chunk.size, dtype, shape, pipeline) if unpacks(pipeline) else None


def _template(head: bytes, facts: _ChunkFacts) -> ChunkTemplate | None:
    numbers = struct.pack("<I", facts.size_bytes), struct.pack("<Q", facts.offset + facts.size_bytes)
    if [head.count(number) for number in numbers] != [1, 1]:
        return None
    chunk_at, end_at = (head.index(number) for number in numbers)
    if end_at - 4 < chunk_at < end_at + 8:
        return None
    blank = _with_numbers(head, chunk_at, 0, end_at, 0)
    return ChunkTemplate(blank, facts.dtype, facts.shape, facts.pipeline, chunk_at, end_at)


def image_and_template(
    layout: DatasetLayout, internal: str, data: NDArray
) -> tuple[bytes, ChunkTemplate | None]:
    """A new block file of all voxels.

    Parameters
    ----------
    layout : DatasetLayout
    internal : str
        Path of the dataset.
    data : ndarray
        The voxels of the whole block.

    Returns
    -------
    bytes, ChunkTemplate or None
        The file, and its template if it is one chunk that `codecs.packed` packs.

    Raises
    ------
    StorageError
        If h5py can't lay the dataset out this way.
    """
    image, facts = build_image(layout, internal, data.shape, Roi.from_shape(data.shape), data, _chunk_facts)
    if facts is None or facts.offset + facts.size_bytes != len(image) or not packs(facts.pipeline):
        return image, None
    return image, _template(image[: facts.offset], facts)
