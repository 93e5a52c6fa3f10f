"""Sizes of the blocks in which a big volume is requested."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..errors import OutOfBounds
from ..geometry.block_shapes import most_cubic
from ..geometry.roi import Shape, as_shape

LEAST_VOXELS = 4096  # of a request: below, asking costs more than the voxels


def _at_least(what: str, values: Shape, least: int) -> None:
    if any(n < least for n in values):
        raise OutOfBounds(f"{what} is {list(values)}; each extent must be at least {least}")


def determine_block_shape(max_shape: Iterable[object], target_voxels: float) -> Shape:
    """The most cube-like block of at most about `target_voxels` that fits into `max_shape`.

    Axes are settled from the shortest to the longest, so that the others get the voxels that
    a short axis can't take.

    Parameters
    ----------
    max_shape : iterable of int
        Voxels per axis, at least 1.
    target_voxels : number
        At least 1; the block never has more.

    Returns
    -------
    tuple of int
        Voxels per axis.

    Raises
    ------
    OutOfBounds
        If an extent or the target is below 1.
    """
    largest, target = as_shape(max_shape), int(target_voxels)
    _at_least("max_shape", largest, 1)
    if target < 1:
        raise OutOfBounds(f"target_voxels is {target_voxels}; a block has at least one voxel")
    return most_cubic(largest, target)


def determine_optimal_request_block_shape(
    max_shape: Iterable[object],
    ideal_shape: Iterable[object],
    ram_bytes_per_voxel: float,
    num_threads: int,
    available_ram_bytes: float,
) -> Shape:
    """The block to request: of whole `ideal_shape` steps, as large as each thread's memory allows.

    Parameters
    ----------
    max_shape : iterable of int
        Upper bound per axis, in voxels.
    ideal_shape : iterable of int
        The shape that the source reads best; 0 means the whole of `max_shape` on that axis.
    ram_bytes_per_voxel : number
        Memory of a request, all in all, in bytes per voxel.
    num_threads : int
        Number of requests that run at once; they share `available_ram_bytes`.
    available_ram_bytes : number
        Memory of all requests together, in bytes.

    Returns
    -------
    tuple of int
        At most the voxels of one thread's share (but 4096 are always allowed). If the ideal
        block itself is too large, it is shrunk alike on all axes.

    Raises
    ------
    OutOfBounds
        If lengths differ, or an extent, the memory per voxel or the threads are too small.
    """
    largest, ideal = as_shape(max_shape), as_shape(ideal_shape)
    if len(largest) != len(ideal):
        raise OutOfBounds(f"max_shape {list(largest)} and ideal_shape {list(ideal)} differ in length")
    _at_least("max_shape", largest, 1)
    _at_least("ideal_shape", ideal, 0)
    if ram_bytes_per_voxel <= 0 or num_threads < 1:
        raise OutOfBounds(f"{ram_bytes_per_voxel} bytes a voxel with {num_threads} threads makes no sense")
    target = int(max(LEAST_VOXELS, available_ram_bytes // num_threads // ram_bytes_per_voxel))
    step = tuple(min(i or m, m) for i, m in zip(ideal, largest, strict=True))
    if math.prod(step) >= target:
        return most_cubic(step, target)
    return _grown(step, largest, target)


def _grown(step: Shape, largest: Shape, target: int) -> Shape:
    """Whole steps, added where they make the block most compact, while it stays below `target`."""
    even = most_cubic(largest, target)
    block = tuple(max(e // s, 1) * s for e, s in zip(even, step, strict=True))
    if math.prod(block) > target:
        block = step
    while True:
        longer = [
            (*block[:axis], n + step[axis], *block[axis + 1 :])
            for axis, n in enumerate(block)
            if n + step[axis] <= largest[axis]
        ]
        fitting = [shape for shape in longer if math.prod(shape) < target]
        if not fitting:
            return block
        block = min(fitting, key=lambda shape: sum(1 / n for n in shape))  # surface over volume
