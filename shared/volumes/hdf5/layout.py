"""The layout and attributes of a dataset of voxels: dtype, axes, chunks, compression."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import StorageError
from ...geometry.roi import Roi, Shape
from .chunks import write_chunks

T = TypeVar("T")
_TYPE_FLAGS = {"t": 8, "x": 2, "y": 2, "z": 2, "c": 1}
_UNKNOWN_AXIS = 32
_image_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class DatasetLayout:
    """The layout of the dataset of voxels in each block file.

    Attributes
    ----------
    dtype : numpy.dtype
    axes : str
        One letter per axis.
    chunks : tuple of int or None
        Clipped to each block. None: contiguous, or h5py's choice if compressed.
    compression, compression_opts : str or None, int or None
        As h5py takes them.
    drange : pair of numbers or None
        Kept as an attribute.
    """

    dtype: np.dtype
    axes: str
    chunks: Shape | None = None
    compression: str | None = None
    compression_opts: int | None = None
    drange: tuple[float, float] | None = None


@functools.lru_cache(maxsize=64)
def axistags(
    axes: str, resolution: tuple[float, ...] | None = None, descriptions: tuple[str, ...] | None = None
) -> str:
    """The JSON text in which vigra keeps axes, letter for letter.

    Parameters
    ----------
    axes : str
        One letter per axis.
    resolution : tuple of float, optional
        Extent of a voxel per axis; 0 is unknown.
    descriptions : tuple of str, optional
        Free text per axis.

    Returns
    -------
    str
    """
    count = len(axes)
    tags = [
        {
            "key": key,
            "typeFlags": _TYPE_FLAGS.get(key, _UNKNOWN_AXIS),
            "resolution": size,
            "description": text,
        }
        for key, size, text in zip(
            axes, resolution or (0,) * count, descriptions or ("",) * count, strict=True
        )
    ]
    return json.dumps({"axes": tags}, indent=2)


def new_image(layout: DatasetLayout, internal: str, shape: Shape, roi: Roi, data: NDArray) -> bytes:
    """The bytes of a new block file.

    Parameters
    ----------
    layout : DatasetLayout
    internal : str
        Path of the dataset.
    shape : tuple of int
        Of the whole block, in voxels.
    roi : Roi
        The roi of `data`, relative to the block; the rest reads as 0.
    data : ndarray of shape ``roi.shape``

    Returns
    -------
    bytes

    Raises
    ------
    StorageError
        If h5py can't lay the dataset out this way (an unknown compression, for example).
    """
    return build_image(layout, internal, shape, roi, data, lambda _: None)[0]


def build_image(
    layout: DatasetLayout,
    internal: str,
    shape: Shape,
    roi: Roi,
    data: NDArray,
    inspect: Callable[[h5py.h5d.DatasetID], T],
) -> tuple[bytes, T]:
    """Make a new block file, as `new_image`, and inspect its dataset before it is closed.

    Parameters
    ----------
    layout, internal, shape, roi, data
        As for `new_image`.
    inspect : callable
        Called with the dataset when all is written.

    Returns
    -------
    bytes, object
        The file, and the result of `inspect`.
    """
    # Two files in memory must not share a name, even for a moment.
    name = f"block-in-memory-{next(_image_numbers)}"
    room_bytes = (1 << 16) if layout.compression else data.nbytes + (1 << 16)
    with h5py.File(name, "w", driver="core", backing_store=False, block_size=room_bytes) as file:
        dataset = create_dataset(file, layout, internal, shape)
        put_voxels(dataset, roi, data)
        file.flush()
        return file.id.get_file_image(), inspect(dataset.id)


def create_dataset(file: h5py.File, layout: DatasetLayout, internal: str, shape: Shape) -> h5py.Dataset:
    """Add a dataset with the layout and attributes that the original gives it.

    Parameters
    ----------
    file : h5py.File
    layout : DatasetLayout
    internal : str
        Path of the dataset.
    shape : tuple of int
        Voxels per axis.

    Returns
    -------
    h5py.Dataset

    Raises
    ------
    StorageError
        If h5py can't lay it out this way.
    """
    chunks = layout.chunks and tuple(map(min, layout.chunks, shape))
    try:
        dataset = file.create_dataset(
            internal,
            shape=shape,
            dtype=layout.dtype,
            chunks=chunks,
            compression=layout.compression,
            compression_opts=layout.compression_opts,
        )
    except (ValueError, TypeError, OSError) as error:
        raise StorageError(
            f"h5py can't create a dataset of shape {list(shape)}, dtype {layout.dtype}, chunks {chunks}, "
            f"compression {layout.compression!r}, compression_opts {layout.compression_opts!r}: {error}"
        ) from error
    dataset.attrs["axistags"] = axistags(layout.axes)
    if layout.drange is not None:
        dataset.attrs["drange"] = layout.drange
    return dataset


def put_voxels(dataset: h5py.Dataset, roi: Roi, data: NDArray) -> None:
    """Write a part of a dataset, in the form in which the dataset keeps its elements.

    Parameters
    ----------
    dataset : h5py.Dataset
    roi : Roi
        In voxels of the dataset.
    data : ndarray of shape ``roi.shape``
    """
    if roi.shape == dataset.shape:
        if not write_chunks(dataset.id, data):
            dataset.write_direct(np.ascontiguousarray(data))
    elif data.dtype.hasobject:  # indexing would take the strings of one length for an axis more
        dataset.write_direct(data, dest_sel=roi.to_slice())
    else:
        dataset[roi.to_slice()] = data
