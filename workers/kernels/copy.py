"""Copies, plain or into another dtype, that never change a value unasked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...shared.operations.copy import Copy
from .context import BlockContext, Kernel, crop
from .conversion import converted


def copy_kernel(spec: Copy) -> Kernel:
    """The kernel of `spec`."""

    def copy(block: NDArray, context: BlockContext) -> NDArray:
        voxels = crop(block, context)
        target = spec.output_dtype(block.dtype)
        if _always_exact(voxels.dtype, target):
            return voxels.astype(target)
        return converted(voxels, target, spec.clip, context, f"copy to {target.name}")

    return copy


def _always_exact(source: np.dtype, target: np.dtype) -> bool:
    if source.newbyteorder("=") == target:
        return True
    # numpy calls 64-bit integers to float64 safe, but a float64 has 53 bits for them.
    loses_bits = source.kind in "iu" and source.itemsize == 8 and target.kind == "f"
    return np.can_cast(source, target, "safe") and not loses_bits
