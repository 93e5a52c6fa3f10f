"""Voxels in another dtype: values that it can't hold are refused, or cut where that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...shared.errors import BlockError
from ...shared.operations.dtypes import value_range
from .context import BlockContext

_PIECE_VOXELS = 1 << 14  # bounds what the checks take in memory, and stays in the cache


def converted(voxels: NDArray, target: np.dtype, clip: bool, context: BlockContext, what: str) -> NDArray:
    """Voxels in another dtype, none of them changed unasked.

    Parameters
    ----------
    voxels : ndarray of shape ``context.roi.shape``
        Of bools, numbers, or Python's whole numbers.
    target : numpy.dtype
    clip : bool
        Take the nearest value of `target` where it can't hold a voxel.
    context : BlockContext
    what : str
        The step, for the message.

    Returns
    -------
    ndarray of shape ``context.roi.shape``

    Raises
    ------
    BlockError
        If `target` can't hold a voxel exactly, and `clip` is False; also for NaN as an integer.
    """
    if voxels.dtype == object:
        return _from_python(voxels, target, clip, context, what)
    out = np.empty(voxels.shape, target)
    flat, flat_out = np.ascontiguousarray(voxels).reshape(-1), out.reshape(-1)
    for start in range(0, flat.size, _PIECE_VOXELS):
        piece = flat[start : start + _PIECE_VOXELS]
        nearest, inexact = _nearest(piece.view(np.uint8) if piece.dtype == np.bool_ else piece, target)
        # NaN is the only value that has no nearest one at all.
        refused = inexact & (piece != piece) if clip else inexact
        if refused.any():
            first = int(refused.argmax())
            position = np.unravel_index(start + first, voxels.shape)
            raise BlockError(_inexact_message(piece[first], position, target, context, what))
        flat_out[start : start + _PIECE_VOXELS] = nearest
    return out


def _inexact_message(value: Any, position: Any, target: np.dtype, context: BlockContext, what: str) -> str:
    where = [int(p) + a for p, a in zip(position, context.roi.start, strict=True)]
    lowest, highest = value_range(target)
    text = f"{what}: voxel {where} is {value}, which {target.name} can't hold exactly"
    if value != value:
        return f"{text}, and no integer is near to it; replace NaN before this step"
    return (
        f"{text} (it goes from {lowest} to {highest}); "
        "choose a wider dtype, or clip: true for the nearest value"
    )


def _from_python(numbers: NDArray, target: np.dtype, clip: bool, context: BlockContext, what: str) -> NDArray:
    """Python's whole numbers in another dtype."""
    if target.kind == "f":
        out = numbers.astype(np.float64).astype(target)
        inexact = np.array(
            [not np.isfinite(f) or int(f) != n for f, n in zip(out.flat, numbers.flat, strict=True)]
        )
        inexact = inexact.reshape(numbers.shape)
    else:
        lowest, highest = (int(bound) for bound in value_range(target))
        out = np.clip(numbers, lowest, highest).astype(target)
        inexact = (numbers < lowest) | (numbers > highest)
    if inexact.any() and not clip:
        position = np.unravel_index(int(inexact.argmax()), numbers.shape)
        raise BlockError(_inexact_message(numbers[position], position, target, context, what))
    return out


def _nearest(voxels: NDArray, target: np.dtype) -> tuple[NDArray, NDArray[np.bool_]]:
    """The values of `target` nearest to `voxels`, and a mask of those that are not exact."""
    if target.kind == "f":
        return _to_float(voxels, target) if voxels.dtype.kind in "iu" else _to_narrower_float(voxels, target)
    lowest, highest = (int(limit) for limit in value_range(target))
    if voxels.dtype.kind in "iu":
        return _integer_to_integer(voxels, target, lowest, highest)
    return _float_to_integer(voxels, target, lowest, highest)


def _integer_to_integer(
    voxels: NDArray, target: np.dtype, lowest: int, highest: int
) -> tuple[NDArray, NDArray[np.bool_]]:
    own_lowest, own_highest = value_range(voxels.dtype)
    number = voxels.dtype.newbyteorder("=").type
    low, high = number(max(lowest, own_lowest)), number(min(highest, own_highest))
    return np.clip(voxels, low, high).astype(target), (voxels < low) | (voxels > high)


def _float_to_integer(
    voxels: NDArray, target: np.dtype, lowest: int, highest: int
) -> tuple[NDArray, NDArray[np.bool_]]:
    rounded = np.rint(voxels.astype(np.float64))
    # 2**64 - 1 is no float64, 2**64 is: so the upper limit is compared as an open one.
    too_low, fits = rounded < lowest, (rounded >= lowest) & (rounded < float(highest + 1))
    out = np.where(fits, rounded, 0).astype(target)
    out[too_low] = lowest
    out[~fits & ~too_low] = highest
    return out, ~fits | (rounded != voxels)


def _to_float(voxels: NDArray, target: np.dtype) -> tuple[NDArray, NDArray[np.bool_]]:
    # numpy goes to float16 by way of float32, rounding twice; float64 holds exactly whatever
    # comes near to a float16.
    source = voxels.astype(np.float64) if target == np.float16 else voxels
    with np.errstate(over="ignore"):
        out = source.astype(target)
    limit = np.finfo(target).max
    np.clip(out, -limit, limit, out=out)
    back = out.astype(np.float64)
    # Rounding may have carried the largest integers beyond their own dtype; those are inexact.
    fits = back < float(int(value_range(voxels.dtype)[1]) + 1)
    return out, ~fits | (np.where(fits, back, 0).astype(voxels.dtype) != voxels)


def _to_narrower_float(voxels: NDArray, target: np.dtype) -> tuple[NDArray, NDArray[np.bool_]]:
    with np.errstate(over="ignore", under="ignore"):
        out = voxels.astype(target)
    overflowed = np.isinf(out) & np.isfinite(voxels)
    if overflowed.any():
        limit = np.finfo(target).max
        out[overflowed] = np.copysign(limit, out[overflowed])
    return out, overflowed
