"""A toy operation, as a package of its own brings it: its parameters."""

from typing import ClassVar

import numpy as np

from blockmill.shared.operations.base import Operation
from blockmill.shared.schema.fields import ExtentPerAxis
from blockmill.shared.schema.lengths import per_axis


class Ridge(Operation):
    """The largest value around each voxel less the smallest one.

    Attributes
    ----------
    size : int, or one for each axis
        Voxels of the box around it; odd numbers.
    """

    name: ClassVar[str] = "ridge"
    kernel: ClassVar[str] = "ridge_kernel:ridge_kernel"
    per_axis: ClassVar[tuple[str, ...]] = ("size",)

    size: ExtentPerAxis = 3

    def sizes(self, axes):
        return per_axis(self.size, axes, "operation.ridge.size", unnamed=1)

    def lengths(self, axes):
        return {"size": self.sizes(axes)}

    def halo_per_axis(self, axes):
        return tuple(size // 2 for size in self.sizes(axes))

    def output_dtype(self, dtype):
        return np.dtype(dtype).newbyteorder("=")
