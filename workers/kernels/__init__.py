"""The operations that a worker can apply to a block.

A kernel takes a block with its halo (shape ``context.read_roi.shape``) and returns the result for
``context.roi`` alone, in the operation's output dtype. It owns the block and may work in place.

May import: shared.
"""

from __future__ import annotations

from ...shared.jobs.operation import Operation
from ...shared.jobs.operations import Copy, Gaussian, PythonFunction, Threshold
from .context import BlockContext, Kernel, crop

__all__ = ["BlockContext", "Kernel", "crop", "kernel_for"]


def kernel_for(operation: Operation) -> Kernel:
    """The kernel that computes `operation`; its own imports (scipy, the user's module) happen now.

    Raises
    ------
    JobError
        If the user's function can't be found.
    NotImplementedError
        For an operation that is not one of blockmill's.
    """
    match operation:
        case Gaussian():
            from .gaussian import gaussian_kernel

            return gaussian_kernel(operation)
        case Threshold():
            from .threshold import threshold_kernel

            return threshold_kernel(operation)
        case Copy():
            from .copy import copy_kernel

            return copy_kernel(operation)
        case PythonFunction():
            from .python import python_kernel

            return python_kernel(operation)
        case _:
            raise NotImplementedError(f"there is no kernel for {type(operation).__name__}")
