"""The operations that a worker can apply to a block.

A kernel takes a block with its halo (shape ``context.read_roi.shape``) and returns the result for
``context.roi`` alone, in the operation's output dtype: a voxel for each, or for each box of its `scale`.
It owns the block and may work in place. Where the operation takes several inputs it gets a dict of blocks,
all of that shape; where it has records for a reducer it returns a `BlockResult`.

May import: shared.
"""

from __future__ import annotations

from importlib import import_module

from ...shared.errors import JobError
from ...shared.operations.base import Operation
from .context import BlockContext, BlockResult, Kernel, crop

__all__ = ["BlockContext", "BlockResult", "Kernel", "crop", "kernel_for"]


def kernel_for(operation: Operation) -> Kernel:
    """The kernel that computes `operation`; its own imports (scipy, the user's module) happen now.

    Raises
    ------
    JobError
        If the kernel, or the user's function, can't be found.
    """
    module, _, function = operation.kernel.partition(":")
    try:
        make_kernel = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise JobError(
            f"{operation.name}: its kernel {operation.kernel} can't be imported: {error}"
        ) from error
    return make_kernel(operation)
