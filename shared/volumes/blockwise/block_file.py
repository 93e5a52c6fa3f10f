"""One block file: an ordinary HDF5 file with one dataset of voxels, perhaps among others.

New files are built in memory and returned as bytes: one write, whose failure harms nothing, puts
them on disk, and their checksum costs no second reading.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptBlock, MissingBlock, StorageError
from ...geometry.roi import Roi, Shape
from ..hdf5.chunks import read_chunks
from ..hdf5.layout import DatasetLayout, create_dataset, put_voxels
from ..hdf5.opening import has_no_locks, open_to_read
from ..hdf5.plugins import make_filters_known
from ..hdf5.rows import copy_rows

Learn = Callable[[h5py.h5f.FileID, h5py.h5d.DatasetID, Roi, NDArray], None]

_BAD_FILE = (OSError, KeyError, ValueError, RuntimeError, TypeError)


def updated_image(
    old: bytes, layout: DatasetLayout, internal: str, shape: Shape, roi_in_block: Roi, data: NDArray
) -> bytes:
    """The bytes of a block file with `data` put into it; everything else in it is kept.

    Parameters
    ----------
    old : bytes
        The file as it is.
    layout : DatasetLayout
    internal : str
        Path of the dataset.
    shape : tuple of int
        Of the whole block, in voxels.
    roi_in_block : Roi
        The roi of `data`, relative to the block.
    data : ndarray of shape ``roi_in_block.shape``

    Returns
    -------
    bytes

    Raises
    ------
    CorruptBlock
        If `old` is no HDF5 file.
    """
    with _opened_image(old, layout, internal, shape) as dataset:
        put_voxels(dataset, roi_in_block, data)
        dataset.file.flush()
        return dataset.file.id.get_file_image()


def voxels_in_image(old: bytes, layout: DatasetLayout, internal: str, shape: Shape) -> NDArray:
    """All voxels of a block, out of the bytes of its file; 0 where the file has none.

    Parameters
    ----------
    old, layout, internal, shape
        As for `updated_image`.

    Returns
    -------
    ndarray of `shape`

    Raises
    ------
    CorruptBlock
        If `old` is no HDF5 file.
    """
    with _opened_image(old, layout, internal, shape) as dataset:
        whole = Roi.from_shape(shape)
        voxels = np.empty(shape, dataset.dtype)
        if dataset.dtype.hasobject or not read_chunks(dataset.id, whole, voxels):
            voxels[...] = dataset[whole.to_slice()]
        return voxels


@contextlib.contextmanager
def _opened_image(old: bytes, layout: DatasetLayout, internal: str, shape: Shape) -> Iterator[h5py.Dataset]:
    """The dataset of a block at its full extent, in a copy of its file in memory."""
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
        yield dataset


def _dataset_of_block(file: h5py.File, layout: DatasetLayout, internal: str, shape: Shape) -> h5py.Dataset:
    """The dataset at its full extent and dtype. A missing or clipped one is made anew."""
    dataset = file.get(internal)
    if dataset is None:
        return create_dataset(file, layout, internal, shape)
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != len(shape):
        raise ValueError(f"expected a dataset of {len(shape)} axes")
    if dataset.dtype == layout.dtype and all(a >= b for a, b in zip(dataset.shape, shape, strict=True)):
        return dataset
    overlap = tuple(slice(0, min(a, b)) for a, b in zip(dataset.shape, shape, strict=True))
    voxels, attributes = dataset[overlap], dict(dataset.attrs)
    del file[internal]
    dataset = create_dataset(file, layout, internal, shape)
    for key, value in attributes.items():
        if key not in dataset.attrs:
            dataset.attrs[key] = value
    dataset[overlap] = voxels.astype(layout.dtype)
    return dataset


@functools.cache
def _read_access(locking: bool = True) -> h5py.h5p.PropFAID:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    if not locking:
        access.set_file_locking(False, True)
    return access


class _Opened(NamedTuple):
    id: h5py.h5f.FileID
    close: Callable[[], None]
    on_disk: bool = True


def _opened(path: str) -> _Opened:
    """Open a block file for reading, without HDF5's lock if the file system has no locks.

    HDF5 refuses to mix ways of opening a file in one process. So where our own, which closes what is open
    in it, is refused, because a caller holds the file, it is opened in the caller's.
    """
    name = os.fsencode(path)
    try:
        file = h5py.h5f.open(name, h5py.h5f.ACC_RDONLY, fapl=_read_access())
    except OSError as error:
        if has_no_locks(error):
            file = h5py.h5f.open(name, h5py.h5f.ACC_RDONLY, fapl=_read_access(locking=False))
        elif error.errno is None:
            return _opened_as_others_do(path)
        else:
            raise
    return _Opened(file, file.close)


def _opened_as_others_do(path: str) -> _Opened:
    try:
        file = open_to_read(path)
    except OSError as error:
        if error.errno is not None:
            raise
        return _opened_bytes(path, error)
    return _Opened(file.id, file.close)


def _opened_bytes(path: str, refusal: OSError) -> _Opened:
    """Open a copy of a file in memory: it is damaged only if its bytes are no HDF5 file either."""
    try:
        file = h5py.File(h5py.h5f.open_file_image(Path(path).read_bytes()))
        return _Opened(file.id, file.close, on_disk=False)
    except _BAD_FILE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CorruptBlock(f"it is no readable HDF5 file ({refusal})") from refusal


def read_part(
    path: str, internal: str, roi_in_block: Roi, target: NDArray | None = None, learn: Learn | None = None
) -> NDArray:
    """Read a part of the voxels of a block file, in the dtype that the file has.

    Parameters
    ----------
    path : str
        The block file.
    internal : str
        Path of the dataset.
    roi_in_block : Roi
        Relative to the block.
    target : ndarray of shape ``roi_in_block.shape``, optional
        Writable; filled if it has the dtype of the file, else not touched.
    learn : callable, optional
        Called with the open file, the dataset, `roi_in_block`, and the voxels that were read.

    Returns
    -------
    ndarray of shape ``roi_in_block.shape``
        `target` if it was filled, else a new array.

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
    file = _opened(path)
    try:
        dataset = h5py.h5d.open(file.id, internal.encode())
        voxels = _read_dataset(dataset, roi_in_block, target)
        if learn is not None and file.on_disk:
            learn(file.id, dataset, roi_in_block, voxels)
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


def _read_dataset(dataset: h5py.h5d.DatasetID, roi_in_block: Roi, target: NDArray | None) -> NDArray:
    space = dataset.get_space()
    shape = space.get_simple_extent_dims()
    if len(shape) != roi_in_block.ndim:
        raise ValueError(f"it has {len(shape)} axes, expected {roi_in_block.ndim}")
    if any(stop > n for stop, n in zip(roi_in_block.stop, shape, strict=True)):
        raise MissingBlock(
            f"its file holds only the first {list(shape)} voxels of the block: it was written through a "
            "view that ended there"
        )
    if target is None or target.dtype != dataset.dtype:
        target = np.empty(roi_in_block.shape, dataset.dtype)
    if read_chunks(dataset, roi_in_block, target):
        return target
    make_filters_known(dataset.get_create_plist())
    voxels = target if target.flags.c_contiguous else np.empty(roi_in_block.shape, dataset.dtype)
    if roi_in_block.shape == shape:
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, voxels)
    else:
        space.select_hyperslab(roi_in_block.start, roi_in_block.shape)
        dataset.read(h5py.h5s.create_simple(roi_in_block.shape), space, voxels)
    if voxels is not target:
        copy_rows(target, voxels)
    return target


def read_bytes(path: str) -> bytes | None:
    """The bytes of a file, or None if there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
