"""The check that all voxels of an HDF5 dataset are there: HDF5 fills in, in silence, what it can't open.

A virtual dataset reads as its fill value where a source is missing, too short, or one file too many for
the limit of open files; raw files that are too short read as 0.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import h5py

from ...errors import StorageError
from .opening import open_to_read
from .plugins import missing_filter
from .sources import candidates

_RESERVED_FILES = 64
_UNREADABLE = (OSError, KeyError, ValueError, RuntimeError)


def check_sources(dataset: h5py.Dataset) -> None:
    """Check that everything opens that the voxels of a dataset come from, and is long enough.

    Sources whose names have numbers for ``%b`` may be any number, as virtual datasets that grow have it.

    Parameters
    ----------
    dataset : h5py.Dataset
        Open for reading.

    Raises
    ------
    StorageError
        Naming the file, and what is wrong with it.
    """
    seen: set[tuple[str, str]] = set()
    _check(dataset, seen)
    files = {os.path.realpath(path) for path, _ in seen}
    _check_open_files(dataset, len(files))


def _check(dataset: h5py.Dataset, seen: set[tuple[str, str]]) -> None:
    if dataset.is_virtual:
        for source in dataset.virtual_sources():
            _check_virtual(dataset, source, seen)
    if dataset.external:
        _check_raw(dataset)


def _check_virtual(dataset: h5py.Dataset, source: Any, seen: set[tuple[str, str]]) -> None:
    if "%b" in source.file_name or "%b" in source.dset_name:
        return
    path = _existing(dataset, source.file_name)
    key = (path, source.dset_name)
    try:
        with open_to_read(path) as file:
            found = file.get(source.dset_name)
            if not isinstance(found, h5py.Dataset):
                raise _incomplete(dataset, f"{path} has no dataset {source.dset_name}")
            _check_extent(dataset, source, found, path)
            missing_filter(found.id.get_create_plist())  # loads them
            if key not in seen:
                seen.add(key)
                _check(found, seen)
    except _UNREADABLE as error:
        raise _incomplete(dataset, f"{path} can't be opened: {error}") from error


def _check_extent(dataset: h5py.Dataset, source: Any, found: h5py.Dataset, path: str) -> None:
    where = f"{path}/{source.dset_name.strip('/')}"
    if source.src_space.get_select_type() == h5py.h5s.SEL_ALL:
        needed = source.vspace.get_select_npoints()
        if found.size < needed:
            raise _incomplete(dataset, f"{where} has {found.size} voxels, and {needed} are needed of it")
        return
    try:
        _, last = source.src_space.get_select_bounds()
    except _UNREADABLE:  # a selection without end, of a source that may grow
        return
    if len(last) != found.ndim or any(end >= n for end, n in zip(last, found.shape, strict=True)):
        corner = [end + 1 for end in last]
        raise _incomplete(dataset, f"{where} is needed up to {corner}, and has {list(found.shape)}")


def _check_raw(dataset: h5py.Dataset) -> None:
    """Check the external raw files of a dataset, in order: each holds the next so many bytes."""
    missing = dataset.size * dataset.dtype.itemsize
    for name, offset, size in dataset.external or ():
        path = _existing(dataset, name)
        needed = min(int(size), missing)
        there, end = Path(path).stat().st_size, int(offset) + needed
        if there < end:
            raise _incomplete(dataset, f"{path} is needed up to byte {end}, and has {there}")
        missing -= needed


def _existing(dataset: h5py.Dataset, name: str) -> str:
    path = next(iter(candidates(dataset.file.filename, name)), name)
    if not Path(path).is_file():
        raise _incomplete(dataset, f"{path} is not there")
    return path


def _incomplete(dataset: h5py.Dataset, reason: str) -> StorageError:
    where = f"{dataset.file.filename}{dataset.name}"
    return StorageError(f"{where} is made of other files, and HDF5 would invent what lacks: {reason}")


def _check_open_files(dataset: h5py.Dataset, count: int) -> None:
    """Raise the limit of open files if need be; HDF5 opens all sources and closes none."""
    needed = count + _RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if count == 0 or soft in (resource.RLIM_INFINITY, -1) or needed <= soft:
        return
    if hard in (resource.RLIM_INFINITY, -1) or needed <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return
    where = f"{dataset.file.filename}{dataset.name}"
    raise StorageError(
        f"{where} is made of {count} files, which are open at once, and this process may open {hard}; "
        f"raise the limit to {needed} (ulimit -n, or LimitNOFILE= of a systemd unit), then run this again"
    )
