"""What a Python program may give as a volume to read: an address, an array, a dataset, a volume."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import JobError
from ..masked_arrays import is_masked
from .base.api import Volume
from .base.format import Address
from .base.memory import MemoryVolume, default_axes
from .hdf5.handles import place_of
from .hdf5.meaning import meaning_of_dataset
from .hdf5.volume import Hdf5Volume
from .registry import open_volume, split_input

Source = Volume | NDArray[Any] | str | os.PathLike[str] | h5py.Dataset


def as_volume(source: Source) -> Volume:
    """The volume for a source.

    Parameters
    ----------
    source : Volume, ndarray, str, path or h5py.Dataset
        Of a dataset, file and name are taken; one in memory (HDF5's driver "core") is copied.

    Returns
    -------
    Volume

    Raises
    ------
    JobError
        If it is none of these, or a dataset that other processes can't open; with what to give instead.
    StorageError
        If it can't be read.
    """
    if is_masked(source):
        raise JobError("a volume has no place for the mask of an array; fill it first: source.filled(0)")
    if isinstance(source, np.ndarray):
        return MemoryVolume(source, axes=default_axes(source.ndim))
    if isinstance(source, str | os.PathLike):
        return open_volume(source)
    if isinstance(source, h5py.Dataset):
        return _of_dataset(source)
    if isinstance(source, Volume):
        return source
    raise JobError(_no_source(source))


def address_of(source: str | os.PathLike[str] | h5py.Dataset) -> str:
    """The address of a volume that has one.

    Raises
    ------
    JobError
        If it is a dataset in memory, or one that other processes can't open.
    """
    if not isinstance(source, h5py.Dataset):
        return os.fspath(source)
    volume = _of_dataset(source)
    if isinstance(volume, MemoryVolume):
        raise JobError(
            f"the dataset {source.name!r} is in memory, where workers can't open it; write it to a file"
        )
    return volume.address


def _of_dataset(dataset: h5py.Dataset) -> Volume:
    place = place_of(dataset)
    if place is None:
        name = f"dataset {dataset.name!r} in memory"
        return MemoryVolume(dataset[...], axes=meaning_of_dataset(dataset).axes, address=name)
    volume = Hdf5Volume(*place)
    _ = volume.shape  # opens the file now, so that what can't be a volume is an error here
    if split_input(volume.address) != Address("hdf5", *place):
        raise JobError(
            f"{volume.address} would be taken for another kind of file, by its name; rename the file"
        )
    return volume


def _no_source(source: object) -> str:
    kind = f"{type(source).__module__.partition('.')[0]}.{type(source).__name__}".removeprefix("builtins.")
    if isinstance(source, h5py.File | h5py.Group):
        return f"{source!r} holds datasets, and is no volume itself; give one of them, such as source['data']"
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        return (
            f"{_article(kind)} {kind} is no source, as workers are other processes, which can't see it; give "
            "numpy.asarray(...) of it if that fits into memory, else write it to a file (.h5, .npy) and give "
            "the address"
        )
    return (
        f"{_article(kind)} {kind} is no source; give a volume, a numpy array, an h5py dataset, or an address"
    )


def _article(word: str) -> str:
    return "an" if word[0].lower() in "aeiou" else "a"
