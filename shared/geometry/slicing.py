"""Slicings as numpy has them, ``[2:5, ..., 3]``: the voxels that they take of a volume."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from types import EllipsisType
from typing import Any

from ..errors import OutOfBounds
from .roi import Roi, RoiLike, Shape, as_shape

Slicing = slice | EllipsisType | tuple[slice | int | EllipsisType, ...]
"""As `numpy.s_` gives it: ``np.s_[0:64, ..., 5]``."""
AnyRoi = RoiLike | Slicing | None
"""What a volume takes for a roi: corners, a slicing, or None for all."""
Pick = int | range


def as_roi(value: AnyRoi, shape: Shape) -> Roi:
    """The roi that somebody means.

    Parameters
    ----------
    value : Roi, pair of corners, slicing or None
        Of a slicing, ints are one voxel wide, and slices are clipped to `shape` as numpy does it.
        None is all.
    shape : tuple of int
        Voxels per axis of the volume.

    Returns
    -------
    Roi
        It may be empty, or leave the volume.

    Raises
    ------
    OutOfBounds
        If an int or a step of a slicing makes no roi.
    TypeError
        If it is none of these.
    """
    if isinstance(value, Roi):
        return value
    if value is None:
        return Roi.from_shape(shape)
    if _is_slicing(value):
        return slice_to_roi(value, shape)
    return Roi.of(value)  # pyright: ignore[reportArgumentType]


def checked_roi(value: AnyRoi, shape: Shape, what: str) -> Roi:
    """The roi that somebody means, if it holds voxels and lies within the volume.

    Parameters
    ----------
    value : Roi, pair of corners, slicing or None
        As for `as_roi`.
    shape : tuple of int
        Voxels per axis of the volume.
    what : str
        The volume, for the message.

    Returns
    -------
    Roi

    Raises
    ------
    OutOfBounds
        If it is empty or leaves the volume.
    TypeError
        As by `as_roi`.
    """
    roi = as_roi(value, shape)
    roi.check_within(shape, what)
    return roi


def _is_slicing(value: object) -> bool:
    items = value if isinstance(value, tuple | list) else (value,)
    return any(item is Ellipsis or isinstance(item, slice) for item in items)


def slice_to_roi(slicing: object, shape: Iterable[object], *, extend_singleton: bool = True) -> Roi:
    """The roi that ``array[slicing]`` takes of an array of `shape`.

    Parameters
    ----------
    slicing : int, slice, Ellipsis, or a sequence of them
        Negative numbers count from the end; slices are clipped; missing axes are taken whole.
    shape : iterable of int
        Voxels per axis.
    extend_singleton : bool
        True makes an int one voxel wide; False gives it no extent (``start == stop``).

    Returns
    -------
    Roi
        Unpacks to ``(start, stop)``. A slice whose stop lies before its start gives an empty
        roi at its start, as an array does (the original returned it inside out).

    Raises
    ------
    OutOfBounds
        If an int is out of range, a step is not 1, or there are too many indices.
    TypeError
        If something is no index.
    """
    extents = as_shape(shape)
    if not extents:
        return Roi((), ())
    items = _one_per_axis(slicing, len(extents))
    pairs = [_ends(item, n, extend_singleton) for item, n in zip(items, extents, strict=True)]
    return Roi(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def _one_per_axis(slicing: object, ndim: int) -> list[Any]:
    items = list(slicing) if isinstance(slicing, list | tuple) else [slicing]
    ellipses = [index for index, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise OutOfBounds(f"{slicing!r} holds more than one Ellipsis")
    missing = ndim - (len(items) - len(ellipses))
    if missing < 0:
        raise OutOfBounds(f"{slicing!r} has more indices than the {ndim} axes of the volume")
    position = ellipses[0] if ellipses else len(items)
    return [*items[:position], *[slice(None)] * missing, *items[position + len(ellipses) :]]


def _ends(item: Any, extent: int, extend_singleton: bool) -> tuple[int, int]:
    if isinstance(item, slice):
        if item.step not in (None, 1):
            raise OutOfBounds(f"{item} has a step other than 1; a roi is a box without gaps")
        start, stop, _ = item.indices(extent)
        return start, max(start, stop)
    start = _index(item, extent)
    return start, start + extend_singleton


def _index(item: Any, extent: int) -> int:
    number = operator.index(item)
    if not -extent <= number < extent:
        raise OutOfBounds(f"index {number} is out of range of an axis of {extent} voxels")
    return number % extent


def picks_of(key: object, shape: Shape) -> list[Pick]:
    """What ``array[key]`` takes along each axis of an array of `shape`: one index, or a range of them.

    Parameters
    ----------
    key : int, slice, Ellipsis, or a tuple of them
        With any step. What else numpy takes (None, masks, lists) is refused.
    shape : tuple of int
        Voxels per axis.

    Returns
    -------
    list of int or range

    Raises
    ------
    IndexError
        As numpy's, in other words.
    """
    items = key if isinstance(key, tuple) else (key,)
    for item in items:
        if item is not Ellipsis and not isinstance(item, slice):
            _check_index(item)
    try:
        each = _one_per_axis(items, len(shape))
        return [
            range(*item.indices(n)) if isinstance(item, slice) else _index(item, n)
            for item, n in zip(each, shape, strict=True)
        ]
    except OutOfBounds as error:
        raise IndexError(str(error)) from None


def _check_index(item: Any) -> None:
    if item is None:
        raise IndexError("a volume gets no axis by None (numpy.newaxis); an array does: volume[:][None]")
    if isinstance(item, bool) or not hasattr(item, "__index__") or getattr(item, "ndim", 0):
        raise IndexError(
            f"a volume is indexed by ints, slices and ..., not by {item!r}; masks and lists work on the "
            "array of a part: volume[0:64][mask]"
        )
