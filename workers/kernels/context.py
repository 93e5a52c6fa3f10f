"""The position of a block, as kernels see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    """

    read_roi: Roi
    roi: Roi
    volume_shape: Shape
    axes: str


Kernel = Callable[[NDArray, BlockContext], NDArray]


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
