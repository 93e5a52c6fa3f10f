"""Reduction of the shape of a block; no result depends on how the volume is cut into blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...shared.geometry.roi import Shape
from ...shared.operations.downsample import Downsample
from .context import BlockContext, Kernel, crop

_LOW_BITS = 32


def downsample_kernel(spec: Downsample) -> Kernel:
    """The kernel of `spec`; blocks begin and end at boxes, but for the last box of an axis."""

    def reduced(block: NDArray, context: BlockContext) -> NDArray:
        scale, dtype = spec.scale(context.axes), spec.output_dtype(block.dtype)
        voxels = crop(block, context)
        if spec.method == "stride":
            return np.ascontiguousarray(voxels[tuple(slice(None, None, s) for s in scale)], dtype)
        native = voxels.astype(dtype, copy=False)
        return _mode(native, scale) if spec.method == "mode" else _mean(native, scale)

    return reduced


def _places(voxels: NDArray, scale: Shape) -> Iterator[NDArray]:
    """The first voxels of all boxes, then the second ones, and so on, in C order within a box."""
    for offset in itertools.product(*map(range, scale)):
        yield voxels[tuple(slice(o, None, s) for o, s in zip(offset, scale, strict=True))]


def _sum(voxels: NDArray, scale: Shape, dtype: type[np.generic]) -> NDArray:
    total = np.zeros([-(-n // s) for n, s in zip(voxels.shape, scale, strict=True)], dtype)
    for place in _places(voxels, scale):
        part = total[tuple(map(slice, place.shape))]
        np.add(part, place, out=part, dtype=dtype, casting="unsafe")  # the caller's dtype holds the sum
    return total


def _counts(shape: Shape, scale: Shape) -> NDArray[np.int64]:
    """Voxels in each box; it broadcasts over the result."""
    counts = np.ones([1] * len(shape), np.int64)
    for axis, (n, s) in enumerate(zip(shape, scale, strict=True)):
        along = np.minimum(s, n - np.arange(0, n, s))
        counts = counts * along.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return counts


def _mean(voxels: NDArray, scale: Shape) -> NDArray:
    counts, dtype = _counts(voxels.shape, scale), voxels.dtype
    if dtype.kind == "f":
        return (_sum(voxels, scale, np.float64) / counts).astype(dtype)
    if dtype.itemsize < 8:
        quotient, rest = np.divmod(_sum(voxels, scale, np.int64), counts)
    else:  # the sum may not fit: as its high and its low bits
        high, low = voxels >> dtype.type(_LOW_BITS), voxels & dtype.type((1 << _LOW_BITS) - 1)
        quotient, rest = np.divmod(_sum(high, scale, np.int64), counts)
        more, rest = np.divmod((rest << _LOW_BITS) + _sum(low, scale, np.int64), counts)
        quotient = quotient.astype(dtype) << dtype.type(_LOW_BITS)
        quotient += more.astype(dtype)
    up = (2 * rest > counts) | ((2 * rest == counts) & (quotient & 1 == 1))
    return (quotient + up.astype(quotient.dtype)).astype(dtype)


def _mode(voxels: NDArray, scale: Shape) -> NDArray:
    out = np.empty([-(-n // s) for n, s in zip(voxels.shape, scale, strict=True)], voxels.dtype)
    for source, target, box in _regions(voxels.shape, scale):
        out[target] = _mode_of_boxes(voxels[source], box)
    return out


def _regions(shape: Shape, scale: Shape) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...], Shape]]:
    """The parts of a volume with boxes of one shape each: where they are read, and where they are written."""
    sides: list[list[tuple[slice, slice, int]]] = []
    for n, s in zip(shape, scale, strict=True):
        whole, rest = divmod(n, s)
        side = [(slice(0, whole * s), slice(0, whole), s)] if whole else []
        sides.append(side + ([(slice(whole * s, n), slice(whole, whole + 1), rest)] if rest else []))
    for parts in itertools.product(*sides):
        source, target, box = zip(*parts, strict=True)
        yield source, target, box


def _mode_of_boxes(voxels: NDArray, box: Shape) -> NDArray:
    """The most frequent value of each box, the least of several."""
    ordered = np.sort(np.stack(list(_places(voxels, box))), axis=0)
    best, best_count = ordered[0].copy(), np.ones(ordered.shape[1:], np.int32)
    count = best_count.copy()
    for before, here in itertools.pairwise(ordered):
        count = np.where(here == before, count + 1, 1)
        longer = count > best_count
        best[longer] = here[longer]
        np.maximum(best_count, count, out=best_count)
    return best
