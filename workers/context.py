"""Where a block lies: what a kernel may know besides the voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy.typing import NDArray

from ..shared.geometry.grid import BlockGrid
from ..shared.geometry.roi import Roi, Shape
from ..shared.messages import engine as wire


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


def rois_of(recipe: wire.Recipe) -> Callable[[wire.Task], Roi]:
    """What gives the voxels of a task of this recipe, in block coordinates."""
    if (known := recipe.grid) is None:
        return lambda task: Roi(task.start, task.stop)
    grid = BlockGrid(Roi(known.start, known.stop), known.block_shape, known.anchor)
    return lambda task: grid.roi_of(task.block)


Kernel = Callable[[NDArray, BlockContext], NDArray]


def crop(array: NDArray, context: BlockContext) -> NDArray:
    """The part of an array over `context.read_roi` that lies in `context.roi`; a view."""
    return array[context.roi.relative_to(context.read_roi.start).to_slice()]
