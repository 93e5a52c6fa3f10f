"""The datasets of a file, and those that match a pattern: HDF5 and npz.

N5 containers, which the original lists too, are not looked into: nothing here reads them yet.
"""

from __future__ import annotations

import fnmatch
import os
import zipfile
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import h5py
import numpy as np

from ...errors import StorageError
from ...geometry.roi import Shape
from ..base.suffixes import HDF5_EXTENSIONS
from .contents import map_datasets, map_open


class Dataset(NamedTuple):
    """A dataset in a file: its path inside (with a leading slash in HDF5), its shape and dtype."""

    name: str
    shape: Shape
    dtype: np.dtype


FileOrGroup = str | os.PathLike[str] | h5py.Group


def list_datasets(path: FileOrGroup, min_axes: int = 2, max_axes: int = 5) -> list[Dataset]:
    """List the datasets of a file, by name.

    Only headers are read, and nothing is unpickled. The original's ``lsH5N5`` gives objects of
    the open file in place of shape and dtype.

    Parameters
    ----------
    path : str, path, h5py.File or h5py.Group
        Of a group, all below it; names are those in the file.
    min_axes, max_axes : int
        Fewest and most axes of a dataset, both included.

    Returns
    -------
    list of Dataset

    Raises
    ------
    StorageError
        If the file can't be read, or is neither HDF5 nor npz by its extension.
    """
    if isinstance(path, h5py.Group):
        datasets = _in_open(path)
    else:
        where = os.fspath(path)
        datasets = _in_npz(where) if where.endswith(".npz") else _in_hdf5(where)
    return sorted(item for item in datasets if min_axes <= len(item.shape) <= max_axes)


def glob_datasets(path: FileOrGroup, pattern: str) -> list[str]:
    """The names of all datasets in a file that match a pattern, sorted, of any number of axes.

    Parameters
    ----------
    path : str, path, h5py.File or h5py.Group
        As for `list_datasets`.
    pattern : str
        As in `glob_list`; a leading slash may be left out, before ``volume/*`` for instance.

    Returns
    -------
    list of str

    Raises
    ------
    StorageError
        As `list_datasets`. (The original's ``globH5N5`` gave None for a file that it could not read.)
    """
    names = [item.name for item in list_datasets(path, 0, 2**31)]
    bare = glob_list([name.removeprefix("/") for name in names], pattern.removeprefix("/"))
    return [name for name in names if name.removeprefix("/") in set(bare)]


def glob_list(names: Iterable[str], pattern: str) -> list[str]:
    """The names that match a pattern of the shell, sorted.

    Parameters
    ----------
    names : iterable of str
    pattern : str
        ``*`` goes across slashes; upper and lower case differ.

    Returns
    -------
    list of str
    """
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))


def _in_hdf5(where: str) -> list[Dataset]:
    if not where.endswith(HDF5_EXTENSIONS):
        raise StorageError(
            f"{where}: is none of {', '.join((*HDF5_EXTENSIONS, '.npz'))}; nothing to look into"
        )
    return [item for item in map_datasets(where, _facts) if item is not None]


def _in_open(group: h5py.Group) -> list[Dataset]:
    if not group:
        raise StorageError("the group or its file is closed; nothing to look into")
    prefix = (group.name or "").strip("/")
    items = map_open(group, lambda name, item: _facts(f"{prefix}/{name}".lstrip("/"), item))
    return [item for item in items if item is not None]


def _facts(name: str, item: h5py.Dataset) -> Dataset | None:
    return None if item.shape is None else Dataset(f"/{name}", tuple(item.shape), item.dtype)


def _in_npz(where: str) -> list[Dataset]:
    try:
        with zipfile.ZipFile(where) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return [_header(archive, name) for name in names]
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(f"could not look into {where}: {error}") from error


def _header(archive: zipfile.ZipFile, name: str) -> Dataset:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(member)
    return Dataset(name.removesuffix(".npy"), tuple(shape), dtype)
