"""The roi of a task, from its recipe's grid or from the task itself."""

from __future__ import annotations

from collections.abc import Callable

from ..shared.geometry.grid import BlockGrid
from ..shared.geometry.roi import Roi
from ..shared.messages import engine as wire


def rois_of(recipe: wire.Recipe) -> Callable[[wire.Task], Roi]:
    """Return a function from a task to its roi, in block coordinates."""
    if (spec := recipe.grid) is None:
        return lambda task: Roi(task.start, task.stop)
    grid = BlockGrid(Roi(spec.start, spec.stop), spec.block_shape, spec.anchor)
    return lambda task: grid.roi_of(task.block)
