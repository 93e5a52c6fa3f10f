"""Paths that go on inside a file: ``/a/b/cells.h5/volume/data``."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import BlockmillError
from ..volumes.base.suffixes import HDF5_EXTENSIONS, cuts

INNER_EXTENSIONS = (*HDF5_EXTENSIONS, ".npz", ".n5")  # of files that hold several data sets

Variants = tuple[str, str | None]


class PathError(BlockmillError, ValueError):
    """A path can't have the part that it was given."""


def is_url(path: str) -> bool:
    """Test if `path` is an address such as ``http://host/data``."""
    return "://" in path


def is_relative(path: str) -> bool:
    """Test if `path` depends on a working directory; an address doesn't, nor ``~/data``."""
    return not is_url(path) and not Path(os.path.expanduser(path)).is_absolute()  # noqa: PTH111 - no normalising


def make_absolute(path: str, cwd: str | None = None) -> str:
    """The absolute form of a path.

    Parameters
    ----------
    path : str
    cwd : str, optional
        Relative paths start here. Default: the working directory of this moment.

    Returns
    -------
    str
    """
    return get_path_variants(path, str(Path.cwd()) if cwd is None else cwd)[0]


def get_path_variants(path: str, working_directory: str) -> Variants:
    """The absolute and the relative form of a path.

    Parameters
    ----------
    path : str
        An address, an absolute or a relative path; a leading ``~`` is expanded.
    working_directory : str
        Start of the relative form. If it is relative or empty, it is itself taken from the working
        directory of the process: the first form is absolute in any case, which the
        original's was not.

    Returns
    -------
    absolute, relative : str, str or None
        The form in which `path` was written stays as it is; only the other one is
        normalised. ``relative`` is None for an address, or on another drive.
    """
    if is_url(path):
        return path, None
    base = os.path.abspath(working_directory)  # noqa: PTH100 - links stay
    path = os.path.expanduser(path)  # noqa: PTH111 - no normalising
    if not Path(path).is_absolute():
        return (os.path.normpath(os.path.join(base, path)) if path else base), path
    try:
        return path, os.path.relpath(path, base)
    except ValueError:  # another drive
        return path, None


def split_paths(text: str, separator: str = os.pathsep) -> list[str]:
    """The paths in a list such as ``a.h5:http://host:8000/b``; the colons of addresses don't separate.

    Parameters
    ----------
    text : str
    separator : str
        Default: that of the operating system.

    Returns
    -------
    list of str
    """
    paths: list[str] = []
    for item in text.split(separator):
        joins = separator == ":" and bool(paths) and _goes_on(paths[-1], item)
        if joins:
            paths[-1] += separator + item
        else:
            paths.append(item)
    return [item for item in paths if item]


def _goes_on(before: str, item: str) -> bool:
    """Test if the colon between the two is an address's: before ``//``, or before a port number."""
    if item.startswith("//"):
        return before.isalnum()
    host = before.partition("://")[2]
    port = item.partition("/")[0]
    return bool(host) and "/" not in host and ":" not in host and port.isdigit()


def compress_path_for_display(path: str, max_length: int) -> str:
    """Shorten a path with ``...`` in place of its middle.

    Parameters
    ----------
    path : str
    max_length : int
        Most characters of the result.

    Returns
    -------
    str
    """
    if len(path) <= max_length:
        return path
    if max_length <= 3:
        return "..."[:max_length]
    keep = max_length - 3
    tail = min(len(Path(path).name) + 1, keep - keep // 4)
    return path[: keep - tail] + "..." + path[len(path) - tail :]


class PathComponents:
    """A path to a data set, as the path of its file and the path inside that file.

    The path is cut behind the last *component* that ends in one of `INNER_EXTENSIONS`; the
    original looked for these texts anywhere, and cut ``/a.h5/b.hdf5/x.h5/d`` wrongly.
    Backslashes become slashes. Every part can be set, and the others follow.

    Parameters
    ----------
    total_path : str
        A path or an address.
    cwd : str, optional
        Makes a relative path absolute, seen from here.

    Attributes
    ----------
    external_path : str
        The file.
    external_directory, filename, filename_base, extension : str
        ``/a/b``, ``f.h5``, ``f``, ``.h5``.
    internal_path : str or None
        Begins with a slash; None if there is none.
    internal_directory, internal_dataset_name : str or None
        ``/volume``, ``data``; None with `internal_path`.

    Raises
    ------
    PathError
        If a part is set that the path can't have.
    AttributeError
        If there is no such part.
    """

    __slots__ = ("_external", "_internal")

    def __init__(self, total_path: str | os.PathLike[str], cwd: str | None = None) -> None:
        path = os.fspath(total_path).replace("\\", "/")
        if cwd is not None:
            path = get_path_variants(path, cwd)[0].replace("\\", "/")
        self._external, inside = (cuts(path, INNER_EXTENSIONS) or [(path, "")])[-1]
        self._internal = inside or None

    def total_path(self) -> str:
        """File and path inside it, in one."""
        return self._external + (self._internal or "")

    def __str__(self) -> str:
        return self.total_path()

    def __repr__(self) -> str:
        return f"PathComponents({self.total_path()!r})"

    def __eq__(self, other: object) -> bool:
        return self.total_path() == other.total_path() if isinstance(other, PathComponents) else False

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @property
    def external_path(self) -> str:
        return self._external

    @external_path.setter
    def external_path(self, value: str) -> None:
        value = value.replace("\\", "/")
        if not value or value.endswith("/"):
            raise PathError(f"{value!r} names no file: give a path that does not end in a slash")
        if self._internal is not None and not value.endswith(INNER_EXTENSIONS):
            raise PathError(
                f"{value!r} can't hold {self._internal!r}: only files of {', '.join(INNER_EXTENSIONS)} have "
                "paths inside; set internal_path to None first"
            )
        self._external = value

    @property
    def external_directory(self) -> str:
        return os.path.split(self._external)[0]

    @external_directory.setter
    def external_directory(self, value: str) -> None:
        self.external_path = os.path.join(value, self.filename)

    @property
    def filename(self) -> str:
        return os.path.split(self._external)[1]

    @filename.setter
    def filename(self, value: str) -> None:
        self.external_path = os.path.join(self.external_directory, value)

    @property
    def filename_base(self) -> str:
        return os.path.splitext(self.filename)[0]  # noqa: PTH122 - "f.tar" of "f.tar.gz", addresses too

    @filename_base.setter
    def filename_base(self, value: str) -> None:
        self.filename = value + self.extension

    @property
    def extension(self) -> str:
        return os.path.splitext(self._external)[1]  # noqa: PTH122

    @extension.setter
    def extension(self, value: str) -> None:
        self.filename = self.filename_base + value

    @property
    def internal_path(self) -> str | None:
        return self._internal

    @internal_path.setter
    def internal_path(self, value: str | None) -> None:
        if value is None:
            self._internal = None
            return
        if not self._external.endswith(INNER_EXTENSIONS):
            raise PathError(
                f"{self._external!r} can't hold {value!r}: it is none of {', '.join(INNER_EXTENSIONS)}"
            )
        self._internal = "/" + value.replace("\\", "/").lstrip("/")

    @property
    def internal_directory(self) -> str | None:
        return None if self._internal is None else os.path.split(self._internal)[0]

    @internal_directory.setter
    def internal_directory(self, value: str) -> None:
        self.internal_path = f"{value.rstrip('/')}/{self._inner_name('internal_directory')}"

    @property
    def internal_dataset_name(self) -> str | None:
        return None if self._internal is None else os.path.split(self._internal)[1]

    @internal_dataset_name.setter
    def internal_dataset_name(self, value: str) -> None:
        self._inner_name("internal_dataset_name")
        self.internal_path = f"{(self.internal_directory or '').rstrip('/')}/{value.lstrip('/')}"

    def _inner_name(self, attribute: str) -> str:
        if self._internal is None:
            raise PathError(
                f"{self._external!r} has no path inside whose {attribute} could be set; set internal_path"
            )
        return os.path.split(self._internal)[1]
