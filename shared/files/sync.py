"""Bringing a whole file system to its medium, for many files at once."""

from __future__ import annotations

import ctypes
import errno
import os

from ..errors import StorageError

_libc = ctypes.CDLL(None, use_errno=True)


def sync_filesystem(path: str | os.PathLike[str]) -> None:
    """Bring all that was written to the file system that holds `path` to its medium (syncfs(2)).

    It takes as long as the medium needs; other threads go on meanwhile.

    Raises
    ------
    StorageError
        If `path` can't be opened, or the medium refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _syncfs(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(
            f"could not sync the file system of {os.fspath(path)}: {error.strerror}"
        ) from error


def _syncfs(descriptor: int) -> None:
    if _libc.syncfs(descriptor) == 0:
        return
    code = ctypes.get_errno()
    if code != errno.ENOSYS:
        raise OSError(code, os.strerror(code))
    os.sync()  # this kernel has only the call for all file systems
