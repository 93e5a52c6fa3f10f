"""The block grid, which cuts a box of voxels into blocks without listing them; and a list of blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import OutOfBounds
from .roi import Roi, Shape, as_shape


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """Blocks of `block_shape`, anchored at `anchor`, that tile `roi`.

    Blocks at the rim are clipped to `roi`; they are disjoint and cover it. They are
    numbered from 0 in C order (the last axis runs fastest).

    Parameters
    ----------
    roi : Roi
        The box to tile, in voxels; not empty.
    block_shape : tuple of int
        Voxels per axis, at least 1.
    anchor : tuple of int, optional
        A corner of the grid. Default: the origin, so that the edges of blocks are
        multiples of `block_shape` ("absolute" alignment); ``roi.start`` gives
        "relative" alignment.

    Raises
    ------
    OutOfBounds
        If lengths differ, a block extent is below 1, or `roi` is empty.
    """

    roi: Roi
    block_shape: Shape
    anchor: Shape = ()
    _first: Shape = field(init=False, repr=False, compare=False)
    counts: Shape = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        block = as_shape(self.block_shape)
        anchor = as_shape(self.anchor) or (0,) * self.roi.ndim
        if len(block) != self.roi.ndim or len(anchor) != self.roi.ndim:
            raise OutOfBounds(f"block shape {list(block)} does not fit a roi of {self.roi.ndim} axes")
        if any(n < 1 for n in block):
            raise OutOfBounds(f"block shape {list(block)} has an extent below 1")
        if self.roi.empty:
            raise OutOfBounds(f"roi {self.roi} is empty: there is nothing to cut into blocks")
        first = tuple((a - o) // n for a, o, n in zip(self.roi.start, anchor, block, strict=True))
        last = tuple(-((o - b) // n) for b, o, n in zip(self.roi.stop, anchor, block, strict=True))
        object.__setattr__(self, "block_shape", block)
        object.__setattr__(self, "anchor", anchor)
        object.__setattr__(self, "_first", first)
        object.__setattr__(self, "counts", tuple(b - a for a, b in zip(first, last, strict=True)))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Roi]:
        return (self.roi_of(number) for number in range(len(self)))

    def index_of(self, number: int) -> Shape:
        """Grid position of block `number`, counted from the first block on each axis."""
        if not 0 <= number < len(self):
            raise IndexError(f"block {number} of {len(self)}")
        index: list[int] = []
        for count in reversed(self.counts):
            number, position = divmod(number, count)
            index.append(position)
        return tuple(reversed(index))

    def cell_at(self, index: Shape) -> Roi:
        """The whole grid cell at a grid position, not clipped."""
        start = tuple(
            o + (f + i) * n
            for o, f, i, n in zip(self.anchor, self._first, index, self.block_shape, strict=True)
        )
        return Roi(start, tuple(a + n for a, n in zip(start, self.block_shape, strict=True)))

    def roi_of(self, number: int) -> Roi:
        """The voxels of block `number`, clipped to the roi of the grid."""
        index, start, stop = self.index_of(number), [], []
        lows, highs = self.roi.start, self.roi.stop
        for axis, n in enumerate(self.block_shape):
            low = self.anchor[axis] + (self._first[axis] + index[axis]) * n
            high, lowest, highest = low + n, lows[axis], highs[axis]
            start.append(low if low > lowest else lowest)
            stop.append(high if high < highest else highest)
        return Roi.trusted(tuple(start), tuple(stop))

    def number_of(self, index: Shape) -> int:
        """Number of the block at a grid position."""
        number = 0
        for position, count in zip(index, self.counts, strict=True):
            if not 0 <= position < count:
                raise IndexError(f"grid position {index} of {self.counts}")
            number = number * count + position
        return number

    def touching(self, roi: Roi) -> Iterator[Roi]:
        """The blocks that share a voxel with `roi`, in order; clipped to the grid's roi, not to `roi`."""
        common = self.roi.intersection(roi)
        if common is None:
            return
        inner = BlockGrid(common, self.block_shape, self.anchor)
        shift = tuple(a - b for a, b in zip(inner._first, self._first, strict=True))
        for number in range(len(inner)):
            index = tuple(i + s for i, s in zip(inner.index_of(number), shift, strict=True))
            cell = self.cell_at(index).intersection(self.roi)
            assert cell is not None
            yield cell


class RoiList:
    """A list of blocks, any rois, that may grow."""

    def __init__(self, rois: list[Roi] | None = None) -> None:
        self._rois = list(rois or ())

    def __len__(self) -> int:
        return len(self._rois)

    def roi_of(self, number: int) -> Roi:
        """The voxels of block `number`."""
        return self._rois[number]

    def extend(self, rois: list[Roi]) -> None:
        """Append blocks."""
        self._rois.extend(rois)
