"""The position of a block, as kernels see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ...shared.geometry.roi import Roi, Shape


@dataclass(frozen=True, slots=True)
class BlockContext:
    """One block of a volume.

    Attributes
    ----------
    read_roi : Roi
        The roi that was read, halo included, in the input's voxels.
    roi : Roi
        The voxels that the result stands for; inside of `read_roi`.
    volume_shape : tuple of int
        Shape of the input.
    axes : str
        One letter per axis of the input.
    part : Roi or None
        The part of the input that the whole output is made of; None: all of it.
    """

    read_roi: Roi
    roi: Roi
    volume_shape: Shape
    axes: str
    part: Roi | None = None


class BlockResult(NamedTuple):
    """The result of a kernel that has more to say than voxels.

    Attributes
    ----------
    array : ndarray or None
        The voxels; None for an operation without a volume as its output.
    record : bytes
        What the operation's reducer adds up, as `shared.records` packs it.
    """

    array: NDArray[Any] | None
    record: bytes = b""


Kernel = Callable[[Any, BlockContext], "NDArray[Any] | BlockResult"]
"""Takes a block, or a dict of blocks by their inputs' names where the operation takes several."""


def crop(array: NDArray, context: BlockContext) -> NDArray:
    """Cut the halo off.

    Parameters
    ----------
    array : ndarray of shape ``context.read_roi.shape``
    context : BlockContext

    Returns
    -------
    ndarray of shape ``context.roi.shape``
        A view of `array`.
    """
    return array[context.roi.relative_to(context.read_roi.start).to_slice()]
