"""A toy operation, as a package of its own brings it: its arithmetic."""

from scipy.ndimage import maximum_filter, minimum_filter

from blockmill.workers.kernels.context import crop


def ridge_kernel(spec):
    def ridge(block, context):
        size = spec.sizes(context.axes)
        return crop(maximum_filter(block, size) - minimum_filter(block, size), context)

    return ridge
