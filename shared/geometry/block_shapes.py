"""Arithmetic of block shapes: nearly cubic ones, smaller ones, and numbers of blocks."""

from __future__ import annotations

import math

from .roi import Shape

DEFAULT_BLOCK_VOXELS = 128**3


def most_cubic(largest: Shape, target_voxels: int) -> Shape:
    """The most cube-like block of at most about `target_voxels` that fits into `largest`.

    Axes are settled from the shortest to the longest, so that the others get the voxels that
    a short axis can't take.

    Parameters
    ----------
    largest : tuple of int
        Voxels per axis.
    target_voxels : int
        At least 1; the block never has more.

    Returns
    -------
    tuple of int
        Voxels per axis.
    """
    block, budget = list(largest), target_voxels
    order = sorted(range(len(largest)), key=lambda axis: largest[axis])
    for remaining, axis in zip(range(len(order), 0, -1), order, strict=True):
        side = int(budget ** (1 / remaining) + 0.5)
        block[axis] = max(1, min(side, largest[axis], budget))
        budget //= block[axis]
    return tuple(block)


def default_block_shape(shape: Shape, axes: str, voxels: int = DEFAULT_BLOCK_VOXELS) -> Shape:
    """A block of about `voxels`: one time point, all channels, the rest as cubic as `shape` allows.

    Parameters
    ----------
    shape : tuple of int
        Voxels per axis of the volume that is cut into blocks.
    axes : str
        One letter per axis.
    voxels : int
        Voxels of the block. If the channels of a single voxel are more, the block has all of them.

    Returns
    -------
    tuple of int
        Voxels per axis.
    """
    block = [1 if axis == "t" else n for axis, n in zip(axes, shape, strict=True)]
    free = [i for i, axis in enumerate(axes) if axis not in "tc"]
    fixed = math.prod(n for i, n in enumerate(block) if i not in free)
    sides = most_cubic(tuple(shape[i] for i in free), max(voxels // fixed, 1))
    for i, side in zip(free, sides, strict=True):
        block[i] = side
    return tuple(block)


def halved(block: Shape) -> Shape:
    """The larger half of a block that is cut across its longest axis."""
    longest = block.index(max(block))
    return tuple(-(-n // 2) if axis == longest else n for axis, n in enumerate(block))


def block_count(shape: Shape, block: Shape) -> int:
    """Number of blocks that cover a volume; blocks at the rim are clipped.

    Parameters
    ----------
    shape, block : tuple of int
        Voxels per axis of the volume and of a block.

    Returns
    -------
    int
    """
    return math.prod(-(-m // n) for m, n in zip(shape, block, strict=True))
