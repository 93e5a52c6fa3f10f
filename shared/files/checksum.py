"""The checksum of voxels and files: CRC-32, as zlib knows it, computed by the faster isal."""

from __future__ import annotations

from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray


def crc32_of(data: bytes | memoryview | NDArray[Any], start: int = 0) -> int:
    """CRC-32 of bytes, or of an array's elements in C order.

    Parameters
    ----------
    data : bytes-like or ndarray
    start : int
        CRC-32 of the bytes before, to continue it.

    Returns
    -------
    int
    """
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    return isal_zlib.crc32(data, start)
