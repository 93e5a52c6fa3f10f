"""The median filter of a block, voxel for voxel what scipy makes of the whole volume.

Of 0.0 and -0.0, which are equal, it may be the other one.
"""

from __future__ import annotations

from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ...shared.operations.median import Median
from .context import BlockContext, Kernel, crop


def median_kernel(spec: Median) -> Kernel:
    """The kernel of `spec`.

    Where a block reaches the volume's edge it holds all the voxels that any mode looks back at.
    """

    def filtered(block: NDArray, context: BlockContext) -> NDArray:
        dtype, sizes = spec.output_dtype(block.dtype), spec.sizes(context.axes)
        if spec.mode != "constant":  # one voxel is all that there is; scipy's "mirror" reads beyond it
            sizes = tuple(1 if n == 1 else size for n, size in zip(context.volume_shape, sizes, strict=True))
        if all(size == 1 for size in sizes):
            return crop(block, context).astype(dtype, copy=False)
        native = block.astype(dtype, copy=False)
        return crop(median_filter(native, size=sizes, mode=spec.mode, cval=spec.cval), context)

    return filtered
