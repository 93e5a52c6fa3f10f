"""Parameters of Gaussian smoothing."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import JobError
from ..geometry.roi import Shape
from ..schema.fields import FiniteFloat, Truncation, WidthPerAxis
from ..schema.lengths import per_axis
from .base import Operation

# Below this scipy leaves an axis as it is; a halo would be read for nothing.
SMALLEST_SIGMA = 1e-15


class Gaussian(Operation):
    """Gaussian smoothing, voxel for voxel what scipy.ndimage.gaussian_filter makes of the whole volume.

    The dtype stays, and integers are cut, not rounded, as scipy does it. A sigma of 0 leaves its
    axis as it is. The mode "wrap" is not offered: a block at one end of the volume would need
    voxels from the other end, and a halo is one box around the block.
    """

    name: ClassVar[str] = "gaussian"
    kernel: ClassVar[str] = "blockmill.workers.kernels.gaussian:gaussian_kernel"
    per_axis: ClassVar[tuple[str, ...]] = ("sigma",)
    keeps_range: ClassVar[bool] = True
    preload: ClassVar[tuple[str, ...]] = ("scipy.ndimage",)
    peak_factor: ClassVar[float] = 2.5

    sigma: WidthPerAxis
    truncate: Truncation = 4.0
    mode: Literal["reflect", "nearest", "mirror", "constant"] = "reflect"
    cval: FiniteFloat = 0.0

    def sigmas(self, axes: str) -> tuple[float, ...]:
        """Standard deviation per axis, in voxels."""
        return per_axis(self.sigma, axes, "operation.gaussian.sigma")

    def halo_per_axis(self, axes: str) -> Shape:
        """As `Operation.halo_per_axis`; the radius at which scipy cuts its kernel."""
        return tuple(
            int(self.truncate * sigma + 0.5) if sigma > SMALLEST_SIGMA else 0 for sigma in self.sigmas(axes)
        )

    def lengths(self, axes: str) -> dict[str, tuple[Any, ...]]:
        """As `Operation.lengths`."""
        return {"sigma": self.sigmas(axes)}

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The dtype of the input."""
        return dtype.newbyteorder("=")

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError for bool, float16 and long doubles, which scipy's kernel refuses."""
        super().check(axes, dtype)
        if dtype.kind == "b":
            raise JobError(
                "gaussian can't smooth a volume of bool: nothing lies between 0 and 1 to hold the result; "
                "copy it to uint8 or float32 first"
            )
        if dtype.kind not in "iufc" or dtype.newbyteorder("=") in (np.float16, np.longdouble, np.clongdouble):
            raise JobError(
                f"gaussian does not take {dtype.name}; copy the volume to float32 or float64 first"
            )
