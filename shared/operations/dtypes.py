"""Facts about element types that operations share."""

from __future__ import annotations

import numpy as np


def is_real(dtype: np.dtype) -> bool:
    """Test if a dtype is bool, an integer, or a float of up to 64 bits."""
    return dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize <= 8)


def value_range(dtype: np.dtype) -> tuple[int | float, int | float]:
    """The smallest and the largest finite value of a bool, integer or float dtype, exactly."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return int(info.min), int(info.max)
    info = np.finfo(dtype)
    return float(info.min), float(info.max)
