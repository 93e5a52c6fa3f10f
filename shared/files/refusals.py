"""Refusals of the system: as an error with the file's name, distinguished from damaged content."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import BlockmillError, StorageError

UNREADABLE = (OSError, BlockmillError, RuntimeError, KeyError, ValueError)
"""What volumes raise over damaged content, and over a system that refuses; see `refused_by_system`."""
_REASON_IN_TEXT = re.compile(r"error message = '([^']*)'")
_NUMBER_IN_TEXT = re.compile(r"\berrno = (\d+)")


@contextlib.contextmanager
def storage_errors(doing: str, path: object) -> Iterator[None]:
    """Turn an OSError of the code inside into a StorageError such as "could not write a.h5: ...".

    Parameters
    ----------
    doing : str
        The action, as a verb: "write", "look into".
    path : str or path
        The file or folder to name.

    Yields
    ------
    None

    Raises
    ------
    StorageError
        One that comes from inside is passed on as it is.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(refusal_of(doing, path, error)) from error


@contextlib.contextmanager
def system_errors() -> Iterator[None]:
    """Turn any OSError of the code inside, which nothing in it has expected, into a StorageError.

    Yields
    ------
    None

    Raises
    ------
    StorageError
        With the path that the system refused, where Python knows it.
    """
    try:
        yield
    except BlockmillError:
        raise
    except OSError as error:
        raise StorageError(in_words(error)) from error


def in_words(error: OSError) -> str:
    """A refusal of the system as a sentence: with its path, and with the folder that is closed."""
    path = error.filename
    if path is None:
        gone = "; the current folder is gone: change to one that is there" if _is_here_gone() else ""
        return f"the system refuses: {error.strerror or error}{gone}"
    text = os.fsdecode(path) if isinstance(path, bytes) else str(path)
    return refusal_of("use", text, error)


def refusal_of(doing: str, path: object, error: OSError) -> str:
    """What the system refused, as a sentence.

    Parameters
    ----------
    doing : str
        The action, as a verb: "write", "look into".
    path : str or path
        The file or folder to name.
    error : OSError

    Returns
    -------
    str
        Such as "could not write a.h5: No space left on device", or, where a folder above is closed,
        "you (ann) may not read x/a.h5: folder x is closed to you".
    """
    if error.errno in (errno.EACCES, errno.EPERM) and (folder := _closed_folder(str(path))) is not None:
        return f"you ({_who()}) may not {doing} {path}: folder {folder} is closed to you"
    if error.errno == errno.ENOENT and doing == "make" and os.path.isdir(os.path.dirname(str(path))):  # noqa: PTH112
        return f"could not make {path}: the system lets nobody make files in that folder"
    return f"could not {doing} {path}: {error.strerror or error}"


def _closed_folder(path: str) -> str | None:
    """The first folder above `path` that may not be entered; None if all may."""
    for folder in reversed(Path(os.path.abspath(path)).parents):  # noqa: PTH100 - links stay
        try:
            os.stat(f"{folder}/.")  # noqa: PTH116 - a Path would take the dot away
        except PermissionError:
            return str(folder)
        except OSError:
            return None
    return None


def _who() -> str:
    """The name of the user with whose rights this thread uses files, or the number."""
    uid = os.geteuid()
    with contextlib.suppress(OSError, StopIteration):  # without /proc they are the process's
        lines = Path("/proc/thread-self/status").read_text(errors="replace").splitlines()
        uid = int(next(line for line in lines if line.startswith("Uid:")).split()[4])
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _is_here_gone() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return True
    return False


def plain_reason(error: BaseException) -> str:
    """The system's own reason, without the lines of bookkeeping that HDF5 puts around it."""
    match = _REASON_IN_TEXT.search(str(error))
    return match[1] if match else getattr(error, "strerror", None) or str(error)


def refused_by_system(error: BaseException) -> int | None:
    """The error number if the system refused to read or write, or None if the content was at fault.

    Only None says anything about the file itself: no permission, a lock of another process, a
    broken disk or too many open files can be over in a minute. HDF5 tells the number in the
    text of its errors.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno is not None:
            return link.errno
        if (number := _NUMBER_IN_TEXT.search(str(link))) is not None:
            return int(number[1])
        link = link.__cause__
    return None
