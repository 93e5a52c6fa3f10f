"""Gaussian smoothing of a block, bit for bit what scipy makes of the whole volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ...shared.operations.gaussian import SMALLEST_SIGMA, Gaussian
from .context import BlockContext, Kernel, crop


def gaussian_kernel(spec: Gaussian) -> Kernel:
    """The kernel of `spec`.

    As scipy.ndimage.gaussian_filter does, it smooths axis by axis with intermediate results
    in the output's dtype; each axis is cropped as soon as it is done, so that later axes have
    less to do. A voxel depends on its own line alone in each step, so cropping between the
    steps changes no bit. Outside of the volume the mode decides, and where a block reaches
    the volume's edge it holds all the voxels that any mode looks back at.
    """

    def smooth(block: NDArray, context: BlockContext) -> NDArray:
        keep = context.roi.relative_to(context.read_roi.start).to_slice()
        dtype, source = spec.output_dtype(block.dtype), block
        for axis, sigma in enumerate(spec.sigmas(context.axes)):
            if sigma <= SMALLEST_SIGMA:
                continue
            # In place, as scipy itself does it from the second axis on: the block is read for this alone.
            out = source if source.dtype == dtype else np.empty(block.shape, dtype)
            gaussian_filter1d(source, sigma, axis, 0, out, spec.mode, spec.cval, spec.truncate)
            source = out[(*(slice(None),) * axis, keep[axis])]
            keep = (*keep[:axis], slice(None), *keep[axis + 1 :])
        return crop(block, context).astype(dtype) if source is block else source[keep]

    return smooth
