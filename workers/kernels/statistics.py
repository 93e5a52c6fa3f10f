"""Statistics of a block."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...shared.operations.dtypes import value_range
from ...shared.operations.statistics import Statistics, StatisticsRecord, packed
from .context import BlockContext, BlockResult, Kernel, crop

_LIMB_BITS = 16
_LARGE_EXPONENT = 400


def statistics_kernel(spec: Statistics) -> Kernel:
    """The kernel of `spec`."""

    def statistics(block: NDArray, context: BlockContext) -> BlockResult:
        voxels = np.ravel(crop(block, context))
        voxels = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
        voxels = voxels.view(np.uint8) if voxels.dtype == np.bool_ else voxels
        finite = voxels[np.isfinite(voxels)] if voxels.dtype.kind == "f" else voxels
        record = StatisticsRecord(finite.size, voxels.size - finite.size)
        if finite.size:
            record.lowest, record.highest = finite.min().item(), finite.max().item()
            total, squares = _float_sums(finite) if finite.dtype.kind == "f" else _whole_sums(finite)
            record.sum, record.squares = packed(total), packed(squares)
        _add_histogram(record, finite, spec)
        return BlockResult(None, msgspec.msgpack.encode(record))

    return statistics


def _float_sums(voxels: NDArray) -> tuple[Fraction, Fraction]:
    """Sum and sum of squares; the latter by the distance from the mean, which loses no digits."""
    wide = voxels.astype(np.float64)
    exponent = math.frexp(float(np.abs(wide).max()))[1]
    if abs(exponent) < _LARGE_EXPONENT:
        exponent = 0
    else:  # or squares would become infinite, or 0
        wide = np.ldexp(wide, -exponent)
    scale = Fraction(2) ** exponent
    mean = float(wide.mean())
    distance = Fraction(float(np.square(wide - mean).sum())) * scale**2
    total = Fraction(mean) * scale * voxels.size
    return total, distance + total * total / voxels.size


def _whole_sums(voxels: NDArray) -> tuple[Fraction, Fraction]:
    """Sum and sum of squares of whole numbers, exactly: by limbs of 16 bits, which don't overflow."""
    low = int(value_range(voxels.dtype)[0])
    if voxels.dtype.itemsize * 8 <= _LIMB_BITS:
        wide = voxels.astype(np.int64)
        return Fraction(int(wide.sum())), Fraction(int(np.dot(wide, wide)))
    shifted = voxels.astype(np.uint64) if low == 0 else (voxels.astype(np.int64) - low).astype(np.uint64)
    limbs = [
        (shifted >> np.uint64(shift)) & np.uint64(0xFFFF)
        for shift in range(0, voxels.dtype.itemsize * 8, _LIMB_BITS)
    ]
    total = sum(int(limb.sum()) << (_LIMB_BITS * i) for i, limb in enumerate(limbs))
    squares = sum(
        int(np.dot(a, b)) << (_LIMB_BITS * (i + j)) for i, a in enumerate(limbs) for j, b in enumerate(limbs)
    )
    count = voxels.size
    return Fraction(total + count * low), Fraction(squares + 2 * low * total + count * low * low)


def _add_histogram(record: StatisticsRecord, voxels: NDArray, spec: Statistics) -> None:
    if spec.exact_bins(voxels.dtype):
        record.exact = True
        low = int(value_range(voxels.dtype)[0])
        counts = np.bincount(voxels.astype(np.int64) - low)
        values = np.flatnonzero(counts)
        counts = counts[values]
        values = values + low
    elif spec.bins is not None and (limits := spec.limits) is not None:
        counts = np.histogram(voxels.astype(np.float64), spec.bins, limits)[0]
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        return
    record.values, record.counts = values.astype("<i4").tobytes(), counts.astype("<i8").tobytes()
