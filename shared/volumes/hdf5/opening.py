"""Opens HDF5 files for reading, also where the file system has no locks."""

from __future__ import annotations

import errno
import os

import h5py

from ...files.refusals import refused_by_system

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def open_to_read(path: str | os.PathLike[str]) -> h5py.File:
    """Open a file for reading, without HDF5's lock if the file system has none, or this process goes without.

    Raises
    ------
    OSError
        As of h5py.
    """
    try:
        return h5py.File(os.fspath(path), "r")
    except OSError as error:
        # In one process HDF5 opens a file with its lock, or without it, but not in both ways.
        if not has_no_locks(error) and "locking flag" not in str(error):
            raise
        return h5py.File(os.fspath(path), "r", locking=False)


def has_no_locks(error: OSError) -> bool:
    """Test if a file was refused because its file system has no locks."""
    return refused_by_system(error) in _NO_LOCKS
