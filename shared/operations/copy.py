"""Parameters of copies, perhaps into another element type."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import model_validator

from ..errors import JobError
from ..schema.bounded_model import validation_error
from ..schema.fields import DtypeName, Switch
from .base import Operation
from .dtypes import is_real


class Copy(Operation):
    """The voxels as they are, perhaps in another dtype.

    Without `clip` a voxel that `dtype` can't hold exactly fails its block; only the rounding of
    a float to a narrower float is always taken as meant. With `clip` each becomes the nearest
    value that `dtype` holds, halves to even. NaN never becomes an integer.
    """

    name: ClassVar[str] = "copy"
    kernel: ClassVar[str] = "blockmill.workers.kernels.copy:copy_kernel"
    keeps_range: ClassVar[bool] = True
    peak_factor: ClassVar[float] = 3.0

    dtype: DtypeName | None = None
    clip: Switch = False

    @model_validator(mode="after")
    def _clip_has_a_dtype(self) -> Copy:
        if self.clip and self.dtype is None:
            raise validation_error("clip means nothing without a dtype to clip to")
        return self

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """The given dtype, else that of the input."""
        return dtype.newbyteorder("=") if self.dtype is None else np.dtype(self.dtype)

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError if complex numbers or long doubles are to get another dtype."""
        if self.dtype is not None and not is_real(dtype):
            raise JobError(
                f"copy can't turn {dtype.name} into {self.dtype}; leave dtype out to copy it as it is"
            )
