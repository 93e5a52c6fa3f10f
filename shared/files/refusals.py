"""Refusals of the system: as an error with the file's name, distinguished from damaged content."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from ..errors import StorageError

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
        raise StorageError(f"could not {doing} {path}: {error.strerror or error}") from error


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
