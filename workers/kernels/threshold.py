"""Thresholds, compared exactly: the bound as written against the voxel as stored."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...shared.operations.dtypes import value_range
from ...shared.operations.threshold import Threshold
from .context import BlockContext, Kernel, crop

_Test = Callable[..., NDArray[np.bool_]]


def threshold_kernel(spec: Threshold) -> Kernel:
    """The kernel of `spec`."""

    def threshold(block: NDArray, context: BlockContext) -> NDArray:
        voxels = crop(block, context)
        voxels = voxels.view(np.uint8) if voxels.dtype == np.bool_ else voxels
        (key, bound), *others = spec.bounds().items()
        out = _meets(voxels, key, bound)
        for key, bound in others:
            out &= _meets(voxels, key, bound)
        return out.view(np.uint8)

    return threshold


def _meets(voxels: NDArray, key: str, bound: int | float) -> NDArray[np.bool_]:
    if voxels.dtype.kind in "iu":
        return _integer_meets(voxels, key, bound)
    # No value of the dtype lies between the bound and this neighbour, which therefore replaces it.
    if key in ("above", "at_most"):
        limit = _neighbour(bound, voxels.dtype, up=False)
    else:
        limit = _neighbour(bound, voxels.dtype, up=True)
    tests: dict[str, _Test] = {
        "above": np.greater,
        "at_least": np.greater_equal,
        "below": np.less,
        "at_most": np.less_equal,
    }
    return tests[key](voxels, limit)


def _integer_meets(voxels: NDArray, key: str, bound: int | float) -> NDArray[np.bool_]:
    """For integers each test becomes ``>= limit`` or ``<= limit`` with an integer limit."""
    lowest, highest = value_range(voxels.dtype)
    if key in ("above", "at_least"):
        limit = math.floor(bound) + 1 if key == "above" else math.ceil(bound)
        if limit > highest:
            return np.zeros(voxels.shape, np.bool_)
        return voxels >= voxels.dtype.type(max(limit, lowest))
    limit = math.ceil(bound) - 1 if key == "below" else math.floor(bound)
    if limit < lowest:
        return np.zeros(voxels.shape, np.bool_)
    return voxels <= voxels.dtype.type(min(limit, highest))


def _neighbour(bound: int | float, dtype: np.dtype, *, up: bool) -> np.floating:
    """The value of a float dtype closest to `bound` from above (`up`) or from below, or equal to it."""
    native = dtype.newbyteorder("=").type
    with np.errstate(over="ignore", under="ignore"):
        value = native(bound)
        exact = float(value)  # Python compares int and float by their exact values
        if up and exact < bound:
            return np.nextafter(value, native(np.inf))
        if not up and exact > bound:
            return np.nextafter(value, native(-np.inf))
    return value
