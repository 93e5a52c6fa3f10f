"""Parameters of thresholds."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import model_validator

from ..errors import JobError
from ..schema.bounded_model import validation_error
from ..schema.fields import ExactNumber
from .base import Operation
from .dtypes import is_real, value_range


class Threshold(Operation):
    """1 where a voxel meets all the given bounds, else 0; as uint8. NaN meets none.

    Bounds are compared exactly with any dtype: the number as it is written, not as it would
    be rounded to the volume's dtype.
    """

    name: ClassVar[str] = "threshold"
    kernel: ClassVar[str] = "blockmill.workers.kernels.threshold:threshold_kernel"
    peak_factor: ClassVar[float] = 3.25

    above: ExactNumber | None = None
    at_least: ExactNumber | None = None
    below: ExactNumber | None = None
    at_most: ExactNumber | None = None

    @model_validator(mode="after")
    def _some_value_passes(self) -> Threshold:
        if not self.bounds():
            raise validation_error("needs a bound: above, at_least, below or at_most")
        # With an open bound marked by 1, the stricter one of two equal ones sorts last (first).
        lower = max(
            ((b, int(k == "above")) for k, b in self.bounds().items() if k in ("above", "at_least")),
            default=None,
        )
        upper = min(
            ((b, -int(k == "below")) for k, b in self.bounds().items() if k in ("below", "at_most")),
            default=None,
        )
        if lower and upper and (lower[0] > upper[0] or (lower[0] == upper[0] and (lower[1] or upper[1]))):
            bounds_text = " and ".join(f"{key} {bound}" for key, bound in self.bounds().items())
            raise validation_error(f"no number is {bounds_text.replace('_', ' ')}")
        return self

    def bounds(self) -> dict[str, int | float]:
        """The bounds that were given, by their key."""
        keys = ("above", "at_least", "below", "at_most")
        return {key: bound for key in keys if (bound := getattr(self, key)) is not None}

    def output_dtype(self, dtype: np.dtype) -> np.dtype:
        """Always uint8."""
        return np.dtype(np.uint8)

    def check(self, axes: str, dtype: np.dtype) -> None:
        """As `Operation.check`; JobError if no voxel of `dtype` can reach a bound, or it is no real dtype."""
        if not is_real(dtype):
            raise JobError(
                f"threshold does not take {dtype.name}, only bool, integers and floats of up to 64 bits"
            )
        lowest, highest = value_range(dtype)
        for key, bound in self.bounds().items():
            if not lowest <= bound <= highest:
                raise JobError(
                    f"operation.threshold.{key}: {bound} is outside of what {dtype.name} holds "
                    f"({lowest} to {highest}), so all voxels would come out the same"
                )
