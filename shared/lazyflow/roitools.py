"""Rois and slicings, blocks that meet a roi, boxes around data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np

from ..errors import OutOfBounds
from ..geometry.roi import Roi, RoiLike, Shape, as_shape
from ..geometry.slicing import slice_to_roi

__all__ = [
    "RoiLike",
    "blockwise_view",
    "containing_rois",
    "enlarge_roi_for_halo",
    "full_slicing",
    "get_block_bounds",
    "get_intersecting_blocks",
    "get_intersecting_rois",
    "get_intersection",
    "is_fully_contained",
    "nonzero_bounding_box",
    "roi_from_shape",
    "roi_to_slice",
    "slice_to_roi",
    "slicing_to_string",
]


def roi_to_slice(start: Iterable[object], stop: Iterable[object]) -> tuple[slice, ...]:
    """Slices of plain ints, to index an array with.

    Parameters
    ----------
    start, stop : iterable of int
        Of the same length; `stop` is exclusive.

    Returns
    -------
    tuple of slice

    Raises
    ------
    OutOfBounds
        If the lengths differ.
    """
    first, last = as_shape(start), as_shape(stop)
    if len(first) != len(last):
        raise OutOfBounds(f"roi start {first} and stop {last} differ in length")
    return tuple(map(slice, first, last))


def roi_from_shape(shape: Iterable[object]) -> Roi:
    """The whole of a volume of `shape`."""
    return Roi.from_shape(shape)


def full_slicing(shape: Iterable[object]) -> tuple[slice, ...]:
    """The slicing that takes the whole of a volume of `shape`."""
    return Roi.from_shape(shape).to_slice()


def slicing_to_string(slicing: Iterable[Any], max_shape: Sequence[int] | None = None) -> str:
    """A slicing as Python code, ``[2:5, :, 3]``; stops that equal `max_shape` are left out.

    Parameters
    ----------
    slicing : iterable of slice, int or Ellipsis
    max_shape : sequence of int, optional

    Returns
    -------
    str
    """

    def format_item(axis: int, item: Any) -> str:
        if not isinstance(item, slice):
            return "..." if item is Ellipsis else str(item)
        to_end = max_shape is not None and item.stop == max_shape[axis]
        start = "" if item.start in (None, 0) else str(item.start)
        stop = "" if item.stop is None or to_end else str(item.stop)
        return f"{start}:{stop}" + ("" if item.step is None else f":{item.step}")

    return "[" + ", ".join(format_item(axis, item) for axis, item in enumerate(slicing)) + "]"


def get_intersection(a: RoiLike, b: RoiLike, *, must_intersect: bool = True) -> Roi | None:
    """The box that two rois share.

    Parameters
    ----------
    a, b : Roi or pair
        With the same number of axes.
    must_intersect : bool
        Raise an error if they share no voxel.

    Returns
    -------
    Roi or None
        None, if `must_intersect` is off and they share no voxel.

    Raises
    ------
    OutOfBounds
        If they share no voxel (an AssertionError in the original), or lengths differ.
    """
    one, other = Roi.of(a), Roi.of(b)
    _same_length(one.start, other.start)
    common = one.intersection(other)
    if common is None and must_intersect:
        raise OutOfBounds(f"rois {one} and {other} share no voxel")
    return common


def _same_length(*shapes: Shape) -> None:
    if len({len(shape) for shape in shapes}) > 1:
        raise OutOfBounds(f"{' and '.join(str(list(shape)) for shape in shapes)} differ in length")


def _block_shape(values: Iterable[object]) -> Shape:
    block = as_shape(values)
    if any(n < 1 for n in block):
        raise OutOfBounds(f"block shape {list(block)} has an extent below 1")
    return block


def get_block_bounds(
    dataset_shape: Iterable[object], block_shape: Iterable[object], block_start: Iterable[object]
) -> Roi:
    """The voxels of the block that begins at `block_start`, clipped to the dataset.

    Parameters
    ----------
    dataset_shape, block_shape : iterable of int
        Voxels per axis, of a block at least 1.
    block_start : iterable of int
        A multiple of `block_shape` inside the dataset.

    Returns
    -------
    Roi

    Raises
    ------
    OutOfBounds
        If `block_start` is no multiple of `block_shape`, or lies outside the dataset.
    """
    shape, block, start = as_shape(dataset_shape), _block_shape(block_shape), as_shape(block_start)
    _same_length(shape, block, start)
    if any(a % n for a, n in zip(start, block, strict=True)):
        raise OutOfBounds(f"block start {list(start)} is no multiple of the block shape {list(block)}")
    if any(not 0 <= a < n for a, n in zip(start, shape, strict=True)):
        raise OutOfBounds(f"block start {list(start)} lies outside the dataset of shape {list(shape)}")
    return Roi(start, tuple(min(a + n, m) for a, n, m in zip(start, block, shape, strict=True)))


def get_intersecting_blocks(
    block_shape: Iterable[object], roi: RoiLike, *, as_array: bool = False
) -> np.ndarray:
    """The first corners of the blocks that share a voxel with `roi`.

    Parameters
    ----------
    block_shape : iterable of int
        At least 1 per axis; the grid begins at the origin and goes on to both sides.
    roi : Roi or pair
        May be negative. An empty roi on an edge of blocks has no blocks; any other empty roi has
        the block around it.
    as_array : bool
        Keep the form of the grid.

    Returns
    -------
    ndarray of int64
        Shape (N, D), last axis fastest; with `as_array` (n1, ..., nD, D). Multiples of
        `block_shape`; the first may lie before the start of `roi`.

    Raises
    ------
    OutOfBounds
        If an extent is below 1, or lengths differ.
    """
    block, box = _block_shape(block_shape), Roi.of(roi)
    _same_length(block, box.start)
    first = [a // n for a, n in zip(box.start, block, strict=True)]
    last = [-(-b // n) for b, n in zip(box.stop, block, strict=True)]
    counts = [max(b - a, 0) for a, b in zip(first, last, strict=True)]
    starts = np.empty((*counts, len(block)), np.int64)
    for axis, (low, count, n) in enumerate(zip(first, counts, block, strict=True)):
        steps = np.arange(low, low + count, dtype=np.int64) * n
        starts[..., axis] = steps.reshape(-1, *(1,) * (len(block) - axis - 1))
    return starts if as_array else starts.reshape(math.prod(counts), len(block))


def get_intersecting_rois(
    dataset_shape: Iterable[object],
    block_shape: Iterable[object],
    roi: RoiLike,
    *,
    clip_blocks_to_roi: bool = True,
) -> list[Roi]:
    """The blocks that share a voxel with `roi`, clipped to the dataset and, if wanted, to `roi`.

    Parameters
    ----------
    dataset_shape, block_shape : iterable of int
        Voxels per axis, of a block at least 1; the grid begins at the origin.
    roi : Roi or pair
        Inside the dataset.
    clip_blocks_to_roi : bool
        Clip the blocks to `roi`, too.

    Returns
    -------
    list of Roi
        In C order (the last axis runs fastest).

    Raises
    ------
    OutOfBounds
        If `roi` leaves the dataset, an extent is below 1, or lengths differ.
    """
    box, dataset, block = Roi.of(roi), Roi.from_shape(dataset_shape), _block_shape(block_shape)
    _same_length(box.start, dataset.start, block)
    if not dataset.contains(box):
        raise OutOfBounds(f"roi {box} leaves the dataset of shape {list(dataset.stop)}")
    bounds = box if clip_blocks_to_roi else dataset
    starts = get_intersecting_blocks(block, box)
    low = np.maximum(starts, bounds.start).tolist()
    high = np.minimum(starts + np.array(block, np.int64), bounds.stop).tolist()
    return [Roi.trusted(tuple(a), tuple(b)) for a, b in zip(low, high, strict=True)]


def is_fully_contained(inner: RoiLike, outer: RoiLike) -> bool:
    """Test if `inner` lies wholly inside `outer`; OutOfBounds if their numbers of axes differ."""
    one, other = Roi.of(inner), Roi.of(outer)
    _same_length(one.start, other.start)
    return other.contains(one)


def containing_rois(rois: Any, inner: RoiLike) -> np.ndarray:
    """Select the rois that contain `inner` wholly.

    Parameters
    ----------
    rois : array_like of shape (N, 2, D)
        Start and stop of each. An empty array is returned as it is.
    inner : Roi or pair
        With D axes.

    Returns
    -------
    ndarray of shape (M, 2, D)

    Raises
    ------
    OutOfBounds
        If `rois` has another shape.
    """
    boxes, box = np.asarray(rois), Roi.of(inner)
    if not boxes.size:
        return boxes
    if boxes.ndim != 3 or boxes.shape[1:] != (2, box.ndim):
        raise OutOfBounds(f"rois have shape {boxes.shape}, expected (N, 2, {box.ndim})")
    inside = (boxes[:, 0] <= box.start).all(axis=1) & (boxes[:, 1] >= box.stop).all(axis=1)
    return boxes[inside]


def nonzero_bounding_box(data: np.ndarray) -> Roi:
    """The smallest roi that holds all voxels other than zero; zeros to zeros if there are none."""
    mask = np.asarray(data) != 0
    start, stop = [0] * mask.ndim, [0] * mask.ndim
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if not hits.size:
            return Roi((0,) * mask.ndim, (0,) * mask.ndim)
        start[axis], stop[axis] = int(hits[0]), int(hits[-1]) + 1
    return Roi(tuple(start), tuple(stop))


def enlarge_roi_for_halo(
    roi: RoiLike,
    shape: Iterable[object],
    sigma: float | Iterable[float],
    *,
    window: float = 3.5,
    enlarge_axes: Iterable[object] | None = None,
) -> tuple[Roi, Roi]:
    """The roi to read, so that a filter of width `sigma` is right all over `roi`.

    Parameters
    ----------
    roi : Roi or pair
        The voxels for which a result is wanted.
    shape : iterable of int
        Voxels per axis of the volume; the result is clipped to it.
    sigma : float or one per axis
        In voxels.
    window : float
        Half width of the filter in sigmas; each side grows by ``ceil(window * sigma)`` voxels.
    enlarge_axes : one truth per axis, optional
        Axes that grow. Default: all.

    Returns
    -------
    enlarged, result : Roi
        The roi to read, and the position of `roi` in it (relative to the start of `enlarged`).

    Raises
    ------
    OutOfBounds
        If an argument does not have one entry per axis.
    """
    box, volume = Roi.of(roi), Roi.from_shape(shape)
    sigmas = [float(sigma)] * box.ndim if isinstance(sigma, int | float) else [float(s) for s in sigma]
    axes = [True] * box.ndim if enlarge_axes is None else [bool(a) for a in enlarge_axes]
    if not len(sigmas) == len(axes) == box.ndim == volume.ndim:
        raise OutOfBounds(f"shape, sigma and axes must have one entry for each of the {box.ndim} axes")
    halo = [math.ceil(window * s) if on else 0 for s, on in zip(sigmas, axes, strict=True)]
    enlarged = box.grown(halo, within=volume)
    return enlarged, box.relative_to(enlarged.start)


@overload
def blockwise_view(
    array: np.ndarray,
    block_shape: Iterable[object],
    *,
    require_aligned_blocks: bool = ...,
    as_list: Literal[False] = ...,
) -> np.ndarray: ...
@overload
def blockwise_view(
    array: np.ndarray,
    block_shape: Iterable[object],
    *,
    require_aligned_blocks: bool = ...,
    as_list: Literal[True],
) -> list[np.ndarray]: ...
def blockwise_view(
    array: np.ndarray,
    block_shape: Iterable[object],
    *,
    require_aligned_blocks: bool = True,
    as_list: bool = False,
) -> np.ndarray | list[np.ndarray]:
    """A view of `array` as a grid of blocks, without a copy.

    Parameters
    ----------
    array : ndarray
        With D axes.
    block_shape : iterable of int
        Voxels per axis, at least 1.
    require_aligned_blocks : bool
        False leaves out the voxels beyond the last whole block, instead of raising an error.
    as_list : bool
        Return the blocks one by one, in C order.

    Returns
    -------
    ndarray or list of ndarray
        2 D axes: blocks per axis, then `block_shape`. Or blocks of D axes each. They share their memory
        with `array`.

    Raises
    ------
    OutOfBounds
        If blocks don't divide the array, or lengths differ.
    """
    block = _block_shape(block_shape)
    _same_length(array.shape, block)
    if require_aligned_blocks and any(m % n for m, n in zip(array.shape, block, strict=True)):
        raise OutOfBounds(f"blocks of {list(block)} don't divide an array of shape {list(array.shape)}")
    counts = tuple(m // n for m, n in zip(array.shape, block, strict=True))
    strides = tuple(s * n for s, n in zip(array.strides, block, strict=True))
    view = np.lib.stride_tricks.as_strided(array, counts + block, strides + array.strides)
    return [view[index] for index in np.ndindex(*counts)] if as_list else view
