"""The blocks that have a directory: found by walking what is there, however many there might be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from ...files.refusals import storage_errors
from ...geometry.roi import Shape
from .layout import Naming


def starts_there(naming: Naming, fits: Callable[[int, int], bool]) -> Iterator[Shape]:
    """First corners of the blocks that have a directory, in C order.

    Parameters
    ----------
    naming : Naming
    fits : callable
        Takes the number of an axis and a coordinate on it; False if no wanted block starts there.

    Yields
    ------
    tuple of int
        In absolute voxels.

    Raises
    ------
    StorageError
        If a directory can't be looked into.
    """
    return _below(naming, naming.root.rstrip("/"), (), fits)


def _below(naming: Naming, folder: str, start: Shape, fits: Callable[[int, int], bool]) -> Iterator[Shape]:
    axis = len(start)
    if axis == len(naming.axes):
        yield start
        return
    for n in _numbers(folder, f"{naming.axes[axis]}_"):
        if fits(axis, n):
            yield from _below(naming, f"{folder}/{naming.axes[axis]}_{n:08d}", (*start, n), fits)


def _numbers(folder: str, prefix: str) -> list[int]:
    """The coordinates for which there is an entry in a folder; empty if there is no such folder."""
    with storage_errors("look into", folder):
        try:
            names = os.listdir(folder)  # noqa: PTH208 - Paths cost more than the system call
        except (FileNotFoundError, NotADirectoryError):
            return []  # a block that another has removed meanwhile, or a file of somebody's
    numbers = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return sorted(int(n) for n in numbers if n.isdecimal() and n.isascii() and n == f"{int(n):08d}")
