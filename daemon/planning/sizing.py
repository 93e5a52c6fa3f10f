"""Choice of a task block's size: cheap halo, little memory, work for every worker."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...shared.errors import JobError
from ...shared.geometry.block_shapes import block_count
from ...shared.geometry.reads import Reads
from ...shared.geometry.roi import Roi, Shape
from ...shared.units import format_size

_HALO_COST_ALLOWED = 1.15
_WORTHWHILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizing:
    """The facts on which the choice of a task block depends.

    Attributes
    ----------
    reads : Reads
        The voxels of the input that a block of the output is made of.
    step : tuple of int
        A block should be a whole multiple of this.
    voxel_bytes : float
        Memory that a task takes for each voxel that it reads.
    memory_bytes : int
        Memory limit of one task, in bytes.
    least_blocks : int
        Growing a block stops before there are fewer.
    """

    reads: Reads
    step: Shape
    voxel_bytes: float
    memory_bytes: int
    least_blocks: int

    @property
    def shape(self) -> Shape:
        """Voxels per axis of the output, which is cut into blocks."""
        return self.reads.shape

    def align(self, block: Shape) -> tuple[Shape, tuple[str, ...]]:
        """Round `block` up to whole storage blocks. Returns it, and a note for people if it has changed."""
        rounded = tuple(-(-n // s) * s for n, s in zip(block, self.step, strict=True))
        covers = all(n >= m for n, m in zip(block, self.shape, strict=True))
        if rounded == tuple(block) or covers:
            return rounded, ()
        text = "task blocks {} become {}, whole storage blocks of the output, so that each has one writer"
        return rounded, (text.format(list(block), list(rounded)),)

    def grow(self, block: Shape) -> Shape:
        """Enlarge `block` while that saves reading, fits the memory, and leaves enough blocks."""
        while self._reread(block) > _HALO_COST_ALLOWED or self._bytes(block) < _WORTHWHILE_BYTES:
            candidates = [self._double(block, i) for i, n in enumerate(block) if n < self.shape[i]]
            candidates = [candidate for candidate in candidates if self._is_allowed(candidate)]
            if not candidates:
                break
            block = min(candidates, key=lambda candidate: (self._reread(candidate), max(candidate)))
        return block

    def _double(self, block: Shape, axis: int) -> Shape:
        return tuple(n * 2 if i == axis else n for i, n in enumerate(block))

    def _is_allowed(self, block: Shape) -> bool:
        is_enough = block_count(self.shape, block) >= self.least_blocks
        return is_enough and self.task_bytes(block) <= self.memory_bytes

    def clip(self, block: Shape) -> Shape:
        """`block` where it is smaller than the volume, else the volume's extent."""
        return tuple(map(min, block, self.shape))

    def _bytes(self, block: Shape) -> float:
        return math.prod(self._input_extent(block)) * self.voxel_bytes

    def _input_extent(self, block: Shape) -> Shape:
        return self.reads.kept(Roi.from_shape(self.clip(block))).shape

    def _with_halo(self, block: Shape) -> int:
        extents = zip(self._input_extent(block), self.reads.halo, self.reads.part.shape, strict=True)
        return math.prod(min(n + 2 * h, m) for n, h, m in extents)

    def _reread(self, block: Shape) -> float:
        """Voxels read per voxel of the input that a block stands for."""
        return self._with_halo(block) / math.prod(self._input_extent(block))

    def task_bytes(self, block: Shape) -> int:
        """Estimated memory of one task."""
        return int(self._with_halo(block) * self.voxel_bytes)

    def check_memory(self, block: Shape) -> None:
        """Refuse a block that no worker could hold."""
        if (needed := self.task_bytes(block)) > self.memory_bytes:
            raise JobError(
                f"one block of {list(block)} voxels with halo {list(self.reads.halo)} needs about "
                f"{format_size(needed)}, a worker may take {format_size(self.memory_bytes)}: "
                "choose a smaller block_shape, fewer workers, or more memory_per_worker"
            )
