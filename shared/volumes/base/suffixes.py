"""File name endings of files that hold datasets, and paths that go on inside such a file."""

from __future__ import annotations

import itertools
import os

HDF5_EXTENSIONS = (".h5", ".hdf5", ".ilp")
TABLE_SUFFIXES = (".stats.json", ".csv", ".tsv")
"""Endings of tables."""


def cuts(
    path: str, extensions: tuple[str, ...] = HDF5_EXTENSIONS, *, any_case: bool = False
) -> list[tuple[str, str]]:
    """The places where ``f.h5/volume/data`` can be cut: behind each component with such an ending.

    Parameters
    ----------
    path : str
        Components are separated by slashes. Only whole ones count.
    extensions : tuple of str
        The endings, with their dots.
    any_case : bool
        Accept ``F.H5`` for the ending ``.h5``.

    Returns
    -------
    list of (file, rest)
        In the order of `path`. Both together are `path`; the rest is empty or begins with a slash.
    """
    components = path.split("/")
    ends = itertools.accumulate(len(component) + 1 for component in components)
    return [
        (path[: end - 1], path[end - 1 :])
        for component, end in zip(components, ends, strict=True)
        if (component.lower() if any_case else component).endswith(extensions)
    ]


def first_file(path: str) -> tuple[str, str] | None:
    """File and rest of a path on disk, cut behind the first part that is a regular file; None if none is."""
    ends = itertools.accumulate(len(component) + 1 for component in path.split("/"))
    return next(((path[: end - 1], path[end - 1 :]) for end in ends if os.path.isfile(path[: end - 1])), None)  # noqa: PTH113


def cut_at_file(path: str) -> tuple[str, str] | None:
    """File and rest of a path on disk, cut behind its first HDF5 file, or None if it names none.

    A directory may be called ``x.h5``. If no file exists yet, the first name with an ending counts as one.
    """
    return next((cut for cut in cuts(path, any_case=True) if not os.path.isdir(cut[0])), None)  # noqa: PTH112


def inner_path(rest: str) -> str:
    """The path of a dataset as HDF5 knows it: without a leading slash, trailing and doubled ones."""
    return "/".join(filter(None, rest.split("/")))
