"""The chunks of compressed datasets, packed and unpacked outside HDF5."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ...geometry.roi import Roi, Shape
from .codecs import Pipeline, packed, packs, pipeline_of, unpacked, unpacks
from .rows import copy_rows, in_order

# Of smaller chunks, what HDF5 does for each costs less than a round in Python.
_SMALLEST_CHUNK_BYTES = 1 << 12


class _Chunking(NamedTuple):
    shape: Shape
    size_bytes: int
    pipeline: Pipeline

    def cuts(self, roi: Roi) -> Iterator[tuple[Shape, tuple[slice, ...], tuple[slice, ...]]]:
        """Cut `roi` at the borders of chunks: first corner of the chunk, slices in `roi` and in the chunk."""
        axes = [
            [
                (start, slice(max(a, start) - a, min(b, start + n) - a), slice(max(a - start, 0), b - start))
                for start in range(a // n * n, b, n)
            ]
            for a, b, n in zip(roi.start, roi.stop, self.shape, strict=True)
        ]
        for cut in itertools.product(*axes):
            starts, slices, inside = zip(*cut, strict=True)
            yield starts, slices, inside


def _chunking(dataset: h5py.h5d.DatasetID, dtype: np.dtype) -> _Chunking | None:
    """Chunk shape and filters of a dataset, or None if only HDF5 can handle them."""
    plist = dataset.get_create_plist()
    if plist.get_layout() != h5py.h5d.CHUNKED or not plist.get_nfilters():
        return None
    shape = plist.get_chunk()
    size_bytes = math.prod(shape) * dtype.itemsize
    same_type = dataset.get_type().equal(h5py.h5t.py_create(dtype, logical=True))
    if size_bytes < _SMALLEST_CHUNK_BYTES or not same_type:
        return None
    return _Chunking(shape, size_bytes, pipeline_of(plist))


def read_chunks(dataset: h5py.h5d.DatasetID, roi: Roi, target: NDArray) -> bool:
    """Read a part of a compressed dataset.

    Parameters
    ----------
    dataset : h5py.h5d.DatasetID
    roi : Roi
        In voxels of the dataset.
    target : ndarray of shape ``roi.shape``
        Writable, and of the dtype of the dataset.

    Returns
    -------
    bool
        False if only HDF5 can read it; then `target` may hold anything.
    """
    chunking = _chunking(dataset, target.dtype)
    if chunking is None or not unpacks(chunking.pipeline):
        return False
    for start, slices, inside in chunking.cuts(roi):
        try:
            mask, chunk = dataset.read_direct_chunk(start)
        except (OSError, ValueError, RuntimeError):
            return False  # for example, a chunk that was never written
        voxels = unpacked(chunk, mask, chunking.pipeline, chunking.size_bytes)
        if voxels is None:
            return False
        copy_rows(target[slices], np.frombuffer(voxels, target.dtype).reshape(chunking.shape)[inside])
    return True


def write_chunks(dataset: h5py.h5d.DatasetID, data: NDArray) -> bool:
    """Write all voxels of a dataset that is compressed with gzip, at the level that it asks for.

    Parameters
    ----------
    dataset : h5py.h5d.DatasetID
    data : ndarray
        Of the dataset's shape and dtype.

    Returns
    -------
    bool
        False if only HDF5 can do it; then nothing was written.
    """
    chunking = _chunking(dataset, data.dtype)
    if chunking is None or not packs(chunking.pipeline):
        return False
    for start, slices, _ in chunking.cuts(Roi.from_shape(data.shape)):
        voxels = data[slices]
        if voxels.shape != chunking.shape:  # at the rim HDF5 keeps whole chunks
            padded = np.zeros(chunking.shape, data.dtype)
            padded[tuple(slice(0, n) for n in voxels.shape)] = voxels
            voxels = padded
        chunk, mask = packed(in_order(voxels), chunking.pipeline)
        dataset.write_direct_chunk(start, chunk, mask)
    return True
