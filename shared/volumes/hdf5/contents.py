"""The contents of an HDF5 file: its datasets, and what lies beside one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import h5py

from ...errors import OutputRefused, StorageError
from ...files.refusals import plain_reason, refusal_of
from .opening import open_to_read

_T = TypeVar("_T")
_UNREADABLE = (OSError, KeyError, ValueError, RuntimeError)


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Test if a file has the signature of HDF5, whatever its name.

    Raises
    ------
    StorageError
        If it can't be read, so that nothing is known of it.
    """
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise StorageError(refusal_of("read", os.fspath(path), error)) from error
    try:
        return bool(h5py.is_hdf5(os.fspath(path)))
    except OSError as error:
        raise StorageError(f"could not read {os.fspath(path)}: {plain_reason(error)}") from error


def contents_beside(path: str | os.PathLike[str], internal: str) -> list[str]:
    """List, in words, what a new file would destroy beside one dataset.

    Parameters
    ----------
    path : str or path
    internal : str
        Path of the dataset. It, with its attributes, and the groups on the way to it don't count.

    Returns
    -------
    list of str
        Other datasets, groups, links and named types by their path, attributes of groups, a user
        block. Empty if there is nothing else.

    Raises
    ------
    StorageError
        If the file can't be looked into.
    """
    try:
        with open_to_read(path) as file:
            block = [f"a user block of {file.userblock_size} bytes"] if file.userblock_size else []
            return [*block, *_beside(file, "", internal.strip("/"))]
    except _UNREADABLE as error:
        raise StorageError(f"could not look into {os.fspath(path)}: {error}") from error


def refuse_other_contents(path: str, internal: str) -> None:
    """Refuse to replace an HDF5 file, of any name, that holds something beside one dataset.

    Parameters
    ----------
    path : str
        If it is a link, only the link is replaced, and nothing is refused.
    internal : str
        Path of the dataset.

    Raises
    ------
    OutputRefused
        If it holds other things, or that can't be told.
    """
    if Path(path).is_symlink() or not Path(path).exists():
        return
    try:
        others = contents_beside(path, internal) if is_hdf5(path) else []
    except StorageError as error:
        raise OutputRefused(
            f"{error}; so what replacing it would destroy can't be told, and nothing was changed: "
            "close it elsewhere, or move it away, then run this again"
        ) from error
    if others:
        raise OutputRefused(
            f"{path} also holds {', '.join(others[:5])}, which replacing the file would destroy; "
            "name an output file of its own"
        )


def _beside(group: h5py.Group, prefix: str, internal: str) -> Iterator[str]:
    yield from (f"attribute {name!r} of /{prefix.rstrip('/')}" for name in group.attrs)
    for name in group:
        where = f"{prefix}{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            yield f"link {where}"
        elif where != internal or not isinstance(group[name], h5py.Dataset):
            item = group[name]
            if isinstance(item, h5py.Group) and internal.startswith(f"{where}/"):
                yield from _beside(item, f"{where}/", internal)
            else:
                yield where


def names_in_words(names: list[str]) -> str:
    """What an HDF5 file has, for the error of a path that is not in it."""
    if not names:
        return "it has no datasets"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"it has {', '.join(names[:10])}{more}"


def dataset_names(path: str | os.PathLike[str]) -> list[str]:
    """The paths of all datasets in an HDF5 file, sorted, without leading slashes.

    Raises
    ------
    StorageError
        If it can't be read.
    """
    return sorted(map_datasets(path, lambda name, _: name))


def map_datasets(path: str | os.PathLike[str], function: Callable[[str, h5py.Dataset], _T]) -> list[_T]:
    """Apply a function to each dataset of an HDF5 file.

    Parameters
    ----------
    path : str or path
    function : callable
        Takes the path of a dataset, without a leading slash, and the dataset.

    Returns
    -------
    list
        The results of `function`.

    Raises
    ------
    StorageError
        If the file can't be read.
    """
    try:
        with open_to_read(path) as file:
            return map_open(file, function)
    except (OSError, RuntimeError) as error:
        raise StorageError(f"could not look into {os.fspath(path)}: {error}") from error


def map_open(file: h5py.Group, function: Callable[[str, h5py.Dataset], _T]) -> list[_T]:
    """As `map_datasets`, of a file or a group that is open."""
    results: list[_T] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):  # at once: to keep them all open takes much memory
            results.append(function(name, item))

    file.visititems(visit)
    return results
