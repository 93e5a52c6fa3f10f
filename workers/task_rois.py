"""Which voxels a task of a recipe means."""

from __future__ import annotations

from collections.abc import Callable

from ..shared.geometry.grid import BlockGrid
from ..shared.geometry.roi import Roi
from ..shared.messages import engine as wire


def rois_of(recipe: wire.Recipe) -> Callable[[wire.Task], Roi]:
    """Function from a task to its roi, in block coordinates."""
    if (known := recipe.grid) is None:
        return lambda task: Roi(task.start, task.stop)
    grid = BlockGrid(Roi(known.start, known.stop), known.block_shape, known.anchor)
    return lambda task: grid.roi_of(task.block)
