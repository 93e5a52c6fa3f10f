"""The system's lock on an open file, by which the living are told from the dead."""

from __future__ import annotations

import portalocker

from ..errors import StorageError

_EXCLUSIVE = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING


def try_flock(fd: int, lock_path: str) -> bool:
    """Take the flock of a lock file, without waiting.

    Parameters
    ----------
    fd : int
        Its descriptor.
    lock_path : str
        Its path, for the error.

    Returns
    -------
    bool
        False if another has it.

    Raises
    ------
    StorageError
        If the file system has no locks.
    """
    try:
        portalocker.lock(fd, _EXCLUSIVE)
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as error:
        raise StorageError(_refused(lock_path, error)) from error
    return True


def _refused(lock_path: str, error: BaseException) -> str:
    cause = error.__cause__ or error.__context__ or error
    return (
        f"{lock_path}: its file system refuses locks ({getattr(cause, 'strerror', None) or cause}), without "
        "which two programs could write the same file; write to another file system, or mount this one with "
        "locks (NFS: with rpc.statd and without nolock, or version 4; Lustre: with -o flock)"
    )
