"""One block file: an ordinary HDF5 file with one dataset of voxels, perhaps among others.

New files are built in memory and handed out as bytes, so that they can be put down in one
write whose failure harms nothing, and so that their checksum costs no second reading.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptBlock, MissingBlock, StorageError
from ...geometry.roi import Roi, Shape
from ..hdf5.chunks import read_chunks, write_chunks
from ..hdf5.plugins import make_filters_known
from ..hdf5.rows import copy_rows

T = TypeVar("T")
Learn = Callable[[h5py.h5f.FileID, h5py.h5d.DatasetID, Roi, NDArray], None]

_TYPE_FLAGS = {"t": 8, "x": 2, "y": 2, "z": 2, "c": 1}
_UNKNOWN_AXIS = 32
_BAD_FILE = (OSError, KeyError, ValueError, RuntimeError, TypeError)
_image_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class DatasetLayout:
    """How the dataset of voxels in each block file is laid out.

    Attributes
    ----------
    dtype : numpy.dtype
    axes : str
        One letter per axis.
    chunks : tuple of int or None
        Clipped to each block. None: contiguous, or h5py's choice where compressed.
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
def axistags(axes: str) -> str:
    """The JSON text by which vigra tells axes, letter for letter."""
    tags = [
        {"key": key, "typeFlags": _TYPE_FLAGS.get(key, _UNKNOWN_AXIS), "resolution": 0, "description": ""}
        for key in axes
    ]
    return json.dumps({"axes": tags}, indent=2)


def axes_of_tags(text: object) -> str | None:
    """The axes letters in an ``axistags`` attribute; None where it holds none."""
    try:
        keys = [tag["key"] for tag in json.loads(text)["axes"]]  # pyright: ignore[reportArgumentType]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return "".join(keys) if all(isinstance(key, str) and len(key) == 1 for key in keys) else None


def new_image(layout: DatasetLayout, internal: str, shape: Shape, part: Roi, data: NDArray) -> bytes:
    """The bytes of a new block file.

    Parameters
    ----------
    internal : str
        Path of the dataset.
    shape : tuple of int
        Of the whole block, in voxels.
    part : Roi
        Where `data` goes, relative to the block; the rest reads as 0.

    Raises
    ------
    StorageError
        If h5py can't lay the dataset out this way (an unknown compression, for example).
    """
    return image_and_more(layout, internal, shape, part, data, lambda _: None)[0]


def image_and_more(
    layout: DatasetLayout,
    internal: str,
    shape: Shape,
    part: Roi,
    data: NDArray,
    look: Callable[[h5py.h5d.DatasetID], T],
) -> tuple[bytes, T]:
    """As `new_image`, and what `look` sees in the dataset when all is written."""
    # Two files in memory must not share a name, even for a moment.
    name = f"block-in-memory-{next(_image_numbers)}"
    room = (1 << 16) if layout.compression else data.nbytes + (1 << 16)
    with h5py.File(name, "w", driver="core", backing_store=False, block_size=room) as file:
        dataset = create_dataset(file, layout, internal, shape)
        put_voxels(dataset, part, data)
        file.flush()
        return file.id.get_file_image(), look(dataset.id)


def updated_image(
    old: bytes, layout: DatasetLayout, internal: str, shape: Shape, part: Roi, data: NDArray
) -> bytes:
    """The bytes of a block file with `data` put into it; whatever else it holds is kept.

    Raises
    ------
    CorruptBlock
        If `old` is no HDF5 file.
    """
    try:
        file = h5py.File(h5py.h5f.open_file_image(old, flags=1))  # 1: may be written, as a copy
    except _BAD_FILE as error:
        raise CorruptBlock(f"it is no readable HDF5 file ({error})") from error
    with file:
        try:
            dataset = _dataset_of_block(file, layout, internal, shape)
            make_filters_known(dataset.id.get_create_plist())
        except StorageError:
            raise
        except _BAD_FILE as error:
            raise CorruptBlock(f"its dataset {internal!r} can't be read ({error})") from error
        put_voxels(dataset, part, data)
        file.flush()
        return file.id.get_file_image()


def _dataset_of_block(file: h5py.File, layout: DatasetLayout, internal: str, shape: Shape) -> h5py.Dataset:
    """The dataset at its full extent and dtype; made anew where it lacks or was made through a view."""
    dataset = file.get(internal)
    if dataset is None:
        return create_dataset(file, layout, internal, shape)
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != len(shape):
        raise ValueError(f"expected a dataset of {len(shape)} axes")
    if dataset.dtype == layout.dtype and all(a >= b for a, b in zip(dataset.shape, shape, strict=True)):
        return dataset
    known = tuple(slice(0, min(a, b)) for a, b in zip(dataset.shape, shape, strict=True))
    voxels, notes = dataset[known], dict(dataset.attrs)
    del file[internal]
    dataset = create_dataset(file, layout, internal, shape)
    for key, value in notes.items():
        if key not in dataset.attrs:
            dataset.attrs[key] = value
    dataset[known] = voxels.astype(layout.dtype)
    return dataset


def create_dataset(file: h5py.File, layout: DatasetLayout, internal: str, shape: Shape) -> h5py.Dataset:
    """Add a dataset that is laid out and noted as the original does it.

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


def put_voxels(dataset: h5py.Dataset, part: Roi, data: NDArray) -> None:
    """Write a part of a dataset, in the form in which the dataset keeps its elements."""
    if part.shape == dataset.shape:
        if not write_chunks(dataset.id, data):
            dataset.write_direct(np.ascontiguousarray(data))
    elif data.dtype.hasobject:  # indexing would take the strings of one length for an axis more
        dataset.write_direct(data, dest_sel=part.to_slice())
    else:
        dataset[part.to_slice()] = data


@functools.cache
def _read_access() -> h5py.h5p.PropFAID:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    return access


def read_part(
    path: str, internal: str, part: Roi, target: NDArray | None = None, learn: Learn | None = None
) -> NDArray:
    """Read a part of the voxels of a block file, in the dtype that the file has.

    Parameters
    ----------
    part : Roi
        Relative to the block.
    target : ndarray of shape ``part.shape``, optional
        Writable; filled and returned if it has the dtype of the file, else not touched.
    learn : callable, optional
        Called with the open file and dataset, the part and the voxels that were read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    BlockingIOError
        If another process has it open for writing.
    MissingBlock
        If the file holds fewer voxels, as one that was written through a clipped view may.
    CorruptBlock
        If it is no HDF5 file, is cut off, or lacks the dataset. The message is only the reason.
    OSError
        If the system refuses, with its number.
    """
    try:
        file = h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, fapl=_read_access())
    except OSError as error:
        if error.errno is not None:
            raise
        raise CorruptBlock(f"it is no readable HDF5 file ({error})") from error
    try:
        dataset = h5py.h5d.open(file, internal.encode())
        voxels = _read_dataset(dataset, part, target)
        if learn is not None:
            learn(file, dataset, part, voxels)
    except StorageError:
        raise
    except _BAD_FILE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CorruptBlock(f"its dataset {internal!r} can't be read ({error})") from error
    else:
        return voxels
    finally:
        file.close()


def _read_dataset(dataset: h5py.h5d.DatasetID, part: Roi, target: NDArray | None) -> NDArray:
    space = dataset.get_space()
    shape = space.get_simple_extent_dims()
    if len(shape) != part.ndim:
        raise ValueError(f"it has {len(shape)} axes, expected {part.ndim}")
    if any(stop > n for stop, n in zip(part.stop, shape, strict=True)):
        raise MissingBlock(
            f"its file holds only the first {list(shape)} voxels of the block: it was written through a "
            "view that ended there"
        )
    if target is None or target.dtype != dataset.dtype:
        target = np.empty(part.shape, dataset.dtype)
    if read_chunks(dataset, part, target):
        return target
    make_filters_known(dataset.get_create_plist())
    voxels = target if target.flags.c_contiguous else np.empty(part.shape, dataset.dtype)
    if part.shape == shape:
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, voxels)
    else:
        space.select_hyperslab(part.start, part.shape)
        dataset.read(h5py.h5s.create_simple(part.shape), space, voxels)
    if voxels is not target:
        copy_rows(target, voxels)
    return target


def read_bytes(path: str) -> bytes | None:
    """The bytes of a file; None where there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
