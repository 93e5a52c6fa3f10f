"""Parameters of a reduction of the shape by whole numbers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import JobError
from ..geometry.roi import Shape
from ..schema.fields import ExtentPerAxis
from ..schema.lengths import per_axis
from .base import Operation
from .dtypes import is_real


class Downsample(Operation):
    """One voxel for each box of `factor` voxels; boxes begin at the first voxel that is processed.

    `mean` is summed exactly for integers and rounded half to even, and summed in double precision for
    floats; `mode` is the most frequent value, the least of equally frequent ones, as labels want it;
    `stride` is the first voxel of each box. At the end of an axis a box holds the voxels that are left.
    """

    name: ClassVar[str] = "downsample"
    kernel: ClassVar[str] = "blockmill.workers.kernels.downsample:downsample_kernel"
    per_axis: ClassVar[tuple[str, ...]] = ("factor",)
    keeps_range: ClassVar[bool] = True
    peak_factor: ClassVar[float] = 5.0

    factor: ExtentPerAxis
    method: Literal["mean", "mode", "stride"] = "mean"

    def scale(self, axes: str) -> Shape:
        """As `Operation.scale`."""
        return per_axis(self.factor, axes, "operation.downsample.factor", unnamed=1)

    def lengths(self, axes: str) -> dict[str, tuple[Any, ...]]:
        """As `Operation.lengths`."""
        return {"factor": self.scale(axes)}

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The dtype of the input."""
        return dtype.newbyteorder("=")

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError for a mean or mode of numbers beyond 64 bits, or of no numbers."""
        self.scale(axes)
        if self.method != "stride" and not is_real(dtype):
            raise JobError(
                f"downsample does not take the {self.method} of {dtype.name}; use method: stride, "
                "or copy the volume to another dtype first"
            )
