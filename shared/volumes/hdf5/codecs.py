"""Compressed chunks, by libraries that are quicker than those that HDF5 has built in.

The streams have the same formats: any HDF5 unpacks the chunks that are packed here, and the
other way round.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import deflate
import h5py
import numpy as np
from isal import isal_zlib

SHUFFLE, GZIP, ZSTD = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, 32015
BLOSC2 = 32026

Buffer = Any
Pipeline = tuple[tuple[int, tuple[int, ...]], ...]

# Of isal's levels this is the one whose output is nearest to that of zlib's level 1, in a tenth of the time.
_ISAL_LEVEL_LIKE_ZLIB_1 = 2
# The others are libdeflate's. Three of them pack less than zlib's; these pack as much, as quickly.
_LIBDEFLATE_LEVELS = {2: 5, 3: 5, 8: 9}


def pipeline_of(plist: h5py.h5p.PropDCID) -> Pipeline:
    """The filters of a dataset, each by its number and values, in the order in which they pack."""
    filters = (plist.get_filter(index) for index in range(plist.get_nfilters()))
    return tuple((code, tuple(values)) for code, _flags, values, _name in filters)


def unpacked(chunk: Buffer, mask: int, pipeline: Pipeline, size_bytes: int) -> Buffer | None:
    """Unpack a chunk.

    Parameters
    ----------
    chunk : bytes-like
        The chunk as it lies in the file.
    mask : int
        A bit for each filter of the pipeline that was left out for this chunk.
    pipeline : tuple
        One that `unpacks` knows.
    size_bytes : int
        Size of the unpacked chunk.

    Returns
    -------
    bytes-like or None
        The bytes of the voxels, or None if only HDF5 can unpack them.
    """
    for index in range(len(pipeline) - 1, -1, -1):
        if mask >> index & 1:
            continue
        code, values = pipeline[index]
        try:
            chunk = _UNPACKERS[code](chunk, values, size_bytes)
        except (ValueError, RuntimeError, TypeError, deflate.DeflateError):
            return None  # what is wrong with it is HDF5's to say
    return chunk if len(chunk) == size_bytes else None


def _inflate(chunk: Buffer, _values: tuple[int, ...], size_bytes: int) -> Buffer:
    return deflate.zlib_decompress(chunk, size_bytes)


def _unshuffle(chunk: Buffer, values: tuple[int, ...], _size_bytes: int) -> Buffer:
    if values[0] == 1 or len(chunk) % values[0]:
        return chunk if values[0] == 1 else b""
    from numcodecs.shuffle import Shuffle  # late: it takes a tenth of a second

    return np.asarray(Shuffle(values[0]).decode(chunk)).data.cast("B")


def _unzstd(chunk: Buffer, _values: tuple[int, ...], size_bytes: int) -> Buffer:
    from numcodecs.zstd import decompress

    buffer = np.empty(size_bytes, "u1")
    decompress(chunk, buffer)
    return buffer.data


def _unblosc2(chunk: Buffer, _values: tuple[int, ...], _size_bytes: int) -> Buffer:
    import blosc2  # late: it takes a third of a second, and need not be installed

    # In this form alone the voxels are in their order; other chunks raise, and are left to HDF5.
    array = blosc2.ndarray_from_cframe(chunk)
    array.schunk.dparams = blosc2.DParams(nthreads=1)  # a worker has one core to itself
    return np.ascontiguousarray(array[:]).reshape(-1).view("u1").data


_UNPACKERS: dict[int, Callable[[Buffer, tuple[int, ...], int], Buffer]] = {
    GZIP: _inflate,
    SHUFFLE: _unshuffle,
    ZSTD: _unzstd,
    BLOSC2: _unblosc2,
}


def unpacks(pipeline: Pipeline) -> bool:
    """Test if `unpacked` knows all filters."""
    return all(code in _UNPACKERS and (code != BLOSC2 or _has_blosc2()) for code, _ in pipeline)


@functools.cache
def _has_blosc2() -> bool:
    return importlib.util.find_spec("blosc2") is not None


def packs(pipeline: Pipeline) -> bool:
    """Test if `packed` knows all filters: gzip, alone or of shuffled bytes."""
    return [code for code, _ in pipeline] in ([GZIP], [SHUFFLE, GZIP])


def packed(chunk: Buffer, pipeline: Pipeline) -> tuple[Buffer, int]:
    """Pack a chunk.

    Parameters
    ----------
    chunk : bytes-like
        The voxels of a whole chunk.
    pipeline : tuple
        One that `packs` knows.

    Returns
    -------
    bytes-like, int
        The bytes for the file, and the mask of the filters that were left out.
    """
    size_bytes = len(chunk)
    for code, values in pipeline:
        if code == SHUFFLE:
            chunk = _shuffled(chunk, values[0])
        else:
            deflated = _deflated(chunk, values[0])
            if len(deflated) >= size_bytes:
                return chunk, 1 << (len(pipeline) - 1)
            chunk = deflated
    return chunk, 0


def _shuffled(chunk: Buffer, item_bytes: int) -> Buffer:
    if item_bytes == 1:
        return chunk
    from numcodecs.shuffle import Shuffle

    return np.asarray(Shuffle(item_bytes).encode(chunk)).data.cast("B")


def _deflated(chunk: Buffer, level: int) -> Buffer:
    if level == 1:
        return isal_zlib.compress(chunk, _ISAL_LEVEL_LIKE_ZLIB_1)
    return deflate.zlib_compress(chunk, _LIBDEFLATE_LEVELS.get(level, level))
