"""Where a block lies: what a kernel may know besides the voxels."""

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
        What was read, halo included, in the input's voxels.
    roi : Roi
        What is kept of it; inside of `read_roi`.
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
    """The part of an array over `context.read_roi` that lies in `context.roi`; a view."""
    return array[context.roi.relative_to(context.read_roi.start).to_slice()]
