"""Several kernels, one after the other, on one block."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ...shared.geometry.reads import Reads
from ...shared.geometry.roi import Roi, Shape
from ...shared.operations.base import UNNAMED
from ...shared.operations.chain import Chain
from .context import BlockContext, BlockResult, Kernel


def chain_kernel(spec: Chain) -> Kernel:
    """The kernel of `spec`.

    From the last step to the first it is worked out which box of its own volume each step has to read; then
    each step makes just that for the next one. A box ends at the edge of its volume, so that each step sees
    the edges where it would see them alone.
    """
    from . import kernel_for

    first, *others = [(kernel_for(step), step.takes_several) for step in spec.steps]

    def run(block: Any, context: BlockContext) -> NDArray[Any] | BlockResult:
        contexts = contexts_of(spec, context)
        result: Any = _cropped(block, context.read_roi, contexts[0].read_roi)
        result = first[0](result, contexts[0])  # which is just what the next step reads
        for (kernel, by_name), step_context in zip(others, contexts[1:], strict=True):
            result = kernel({UNNAMED: result} if by_name else result, step_context)
        return result

    return run


def contexts_of(spec: Chain, context: BlockContext) -> list[BlockContext]:
    """The boxes that each step reads and keeps, in voxels of its own volume.

    Parameters
    ----------
    spec : Chain
    context : BlockContext
        Of the chain as a whole.

    Returns
    -------
    list of BlockContext
    """
    axes, part = context.axes, context.part or Roi.from_shape(context.volume_shape)
    volumes, reads = [context.volume_shape], []
    for step in spec.steps:
        reads.append(Reads(part, step.scale(axes), step.halo_per_axis(axes)))
        volumes.append(reads[-1].shape)
        part = Roi.from_shape(volumes[-1])
    needed = _blocks_of(context.roi, reads[0].part, spec.scale(axes))
    contexts: list[BlockContext] = []
    for shape, step_reads in zip(reversed(volumes[:-1]), reversed(reads), strict=True):
        kept = step_reads.kept(needed)
        needed = kept.grown(step_reads.halo, within=Roi.from_shape(shape))
        contexts.append(BlockContext(needed, kept, shape, axes, step_reads.part))
    return contexts[::-1]


def _blocks_of(kept: Roi, part: Roi, scale: Shape) -> Roi:
    """The voxels of the output for a box of the input that stands for whole ones."""
    start = tuple((a - p) // s for a, p, s in zip(kept.start, part.start, scale, strict=True))
    stop = tuple(-(-(b - p) // s) for b, p, s in zip(kept.stop, part.start, scale, strict=True))
    return Roi(start, stop)


def _cropped(block: Any, have: Roi, want: Roi) -> Any:
    if have == want:
        return block
    box = want.relative_to(have.start).to_slice()
    return {name: one[box] for name, one in block.items()} if isinstance(block, dict) else block[box]
