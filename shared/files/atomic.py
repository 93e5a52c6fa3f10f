"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator

PARTIAL_MARK = ".partial-"
Content = bytes | Iterable[list[memoryview]]


def partial_name(path: str) -> str:
    """A name beside `path` that no other writer uses; whoever finds it after a crash may delete it."""
    return f"{path}{PARTIAL_MARK}{secrets.token_hex(6)}"


def write_new(path: str, data: Content, *, sync: bool = False) -> None:
    """Create `path` with `data`; with `sync` the data is on the medium when this returns.

    Parameters
    ----------
    path : str
    data : bytes, or iterable of lists of memoryview
        All of it, or pieces that are written as they come.
    sync : bool

    Raises
    ------
    FileExistsError
        If `path` exists.
    OSError
        If the data can't be written whole; what was written stays, for the caller to remove.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        if isinstance(data, bytes):
            _write_all(descriptor, memoryview(data))
        else:
            for buffers in data:
                _write_each(descriptor, buffers)
        if sync:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, rest: memoryview) -> None:
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _write_each(descriptor: int, buffers: list[memoryview]) -> None:
    written_bytes = os.writev(descriptor, buffers)
    for buffer in buffers:
        if written_bytes < buffer.nbytes:  # the system took less than it was given
            _write_all(descriptor, buffer[written_bytes:])
        written_bytes = max(0, written_bytes - buffer.nbytes)


@contextlib.contextmanager
def removed_on_error(path: str) -> Iterator[None]:
    """Remove `path` if the block of code ends with any exception, a KeyboardInterrupt included."""
    try:
        yield
    except BaseException:
        remove_if_there(path)
        raise


def remove_if_there(path: str) -> bool:
    """Remove a file. Returns False if there was none."""
    try:
        os.unlink(path)  # noqa: PTH108 - a Path costs more than the system call
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yield the name of a file to write, which takes the place of `path` in one step at the end.

    If the block of code ends with an exception, `path` is as it was, and the new file is removed.
    """
    partial = partial_name(path)
    with removed_on_error(partial):
        yield partial
        os.replace(partial, path)  # noqa: PTH105 - text is what we have


def write_atomically(path: str, data: bytes, *, overwrite: bool = True, sync: bool = False) -> None:
    """Put a file of `data` at `path` in one step; readers see the old file or the new one.

    Parameters
    ----------
    path : str
    data : bytes
    overwrite : bool
        Replace an existing file. If not, it is left alone and refused.
    sync : bool
        Bring the data to the medium before it gets its name.

    Raises
    ------
    FileExistsError
        If `overwrite` is off and `path` exists.
    """
    if overwrite:
        with replacing(path) as partial:
            write_new(partial, data, sync=sync)
        return
    partial = partial_name(path)
    try:
        write_new(partial, data, sync=sync)
        os.link(partial, path)
    finally:
        remove_if_there(partial)


def rename_without_replacing(path: str, target: str) -> None:
    """Give a file another name, unless something has that name already.

    Parameters
    ----------
    path, target : str
        On one file system. Killed in between, the file has both names.

    Raises
    ------
    FileExistsError
        If something is at `target`, a dangling link included; nothing has changed then.
    OSError
        If the system refuses.
    """
    try:
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: then the look and the rename are two steps
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        os.rename(path, target)  # noqa: PTH104
    else:
        os.unlink(path)  # noqa: PTH108


def sync_directory(path: str) -> None:
    """Bring the names in a directory to the medium."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: str) -> None:
    """Bring the content of a file to the medium."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
