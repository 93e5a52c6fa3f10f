"""Short names for the state of files: two of the same name hold the same, as far as a quick look can tell.

Size, time of change and inode say that a file is the same one, untouched. Tools that copy or restore
files set times back, so some of the content counts as well. The time of change of the inode would catch
these too, but also a backup's hard link or a change of rights, which harm nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

_SAMPLE_BYTES = 4096
_MOST_SAMPLES = 256
_SMALL_BYTES = 1 << 20


def file_state(path: str | os.PathLike[str]) -> bytes:
    """Size, time of change and inode of a file as bytes; ``none`` for one that is not there."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - a Path costs more than the system call
    except FileNotFoundError:
        return b"none"
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino};".encode()


def content_of(paths: Iterable[str]) -> str:
    """A short name for the content of files, by samples that are spread over them.

    Small files count whole. That a file can't be read counts, too: whoever needs it says why.

    Parameters
    ----------
    paths : iterable of str

    Returns
    -------
    str
        16 hex digits.
    """
    files = list(paths)
    samples = max(2, _MOST_SAMPLES // max(1, len(files)))
    content = hashlib.sha256()
    for path in files:
        try:
            content.update(sample(path, samples))
        except OSError:
            content.update(b"unreadable;")
    return content.hexdigest()[:16]


def content_hash(path: str | os.PathLike[str], count: int = 64, *, whole_bytes: int = _SMALL_BYTES) -> str:
    """A short name for the content of one file, by samples of it.

    Parameters
    ----------
    path, count, whole_bytes
        As for `sample`.

    Returns
    -------
    str
        16 hex digits; ``unreadable`` if it can't be read.
    """
    try:
        return sample(path, count, whole_bytes=whole_bytes).hex()[:16]
    except OSError:
        return "unreadable"


def sample(path: str | os.PathLike[str], count: int = 64, *, whole_bytes: int = _SMALL_BYTES) -> bytes:
    """A digest of a file's size and of parts of its content: of the first, the last, and those between.

    Parameters
    ----------
    path : str or path
    count : int
        Parts of 4 KiB, at least 2.
    whole_bytes : int
        A file of up to this size counts whole.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        If it can't be read.
    """
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would block
    try:
        size = os.fstat(descriptor).st_size
        digest.update(f"{size};".encode())
        if size <= whole_bytes:
            digest.update(os.pread(descriptor, size, 0))
        else:
            last = size - _SAMPLE_BYTES
            for number in range(count):
                digest.update(os.pread(descriptor, _SAMPLE_BYTES, last * number // (count - 1)))
    finally:
        os.close(descriptor)
    return digest.digest()
