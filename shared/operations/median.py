"""Parameters of the median filter."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import JobError
from ..geometry.roi import Shape
from ..schema.fields import ExtentPerAxis, FiniteFloat
from ..schema.lengths import per_axis
from .base import Operation
from .dtypes import is_real


class Median(Operation):
    """The median of the box around each voxel, as scipy.ndimage.median_filter makes it of the whole volume.

    `size` is the extent of the box in voxels; along axes that are not named it is 1. Outside of the volume
    `mode` decides, as scipy's does; "wrap" is not offered. The order of NaN among other values is not
    defined, as in scipy.
    """

    name: ClassVar[str] = "median"
    kernel: ClassVar[str] = "blockmill.workers.kernels.median:median_kernel"
    per_axis: ClassVar[tuple[str, ...]] = ("size",)
    keeps_range: ClassVar[bool] = True
    preload: ClassVar[tuple[str, ...]] = ("scipy.ndimage",)
    peak_factor: ClassVar[float] = 3.0

    size: ExtentPerAxis
    mode: Literal["reflect", "nearest", "mirror", "constant"] = "reflect"
    cval: FiniteFloat = 0.0

    def sizes(self, axes: str) -> Shape:
        """Extent of the box per axis, in voxels."""
        return per_axis(self.size, axes, "operation.median.size", unnamed=1)

    def halo_per_axis(self, axes: str) -> Shape:
        """As `Operation.halo_per_axis`."""
        return tuple(size // 2 for size in self.sizes(axes))

    def lengths(self, axes: str) -> dict[str, tuple[Any, ...]]:
        """As `Operation.lengths`."""
        return {"size": self.sizes(axes)}

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The dtype of the input."""
        return dtype.newbyteorder("=")

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError for what scipy refuses: float16, complex, long doubles."""
        super().check(axes, dtype)
        if not is_real(dtype) or dtype.newbyteorder("=") == np.float16:
            raise JobError(f"median does not take {dtype.name}; copy the volume to another dtype first")
