"""The blocks of a fileset as its view shows them, and their rois on disk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import OutOfBounds
from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape, as_shape
from ...geometry.slicing import AnyRoi, checked_roi
from .description import FilesetDescription


class BlockPart(NamedTuple):
    """The part of one block that lies in a roi of the view.

    Attributes
    ----------
    start : tuple of int
        First corner of the block, in the view.
    block : Roi
        The block on disk, in absolute voxels, clipped to the shape on disk.
    roi_in_block : Roi
        The part, relative to the first corner of the block.
    slices : tuple of slice
        The part in an array of the roi's shape.
    covers_block : bool
        True if the part is all of the block that the view shows.
    """

    start: Shape
    block: Roi
    roi_in_block: Roi
    slices: tuple[slice, ...]
    covers_block: bool


@dataclass(frozen=True, slots=True)
class ViewBlocks:
    """Turns voxels of the view into blocks on disk.

    A view starts at the corner of a block, so the blocks of the view are those on disk; the last
    ones may be clipped to the view. On disk they are clipped to the shape on disk, never to a view.

    Attributes
    ----------
    grid : BlockGrid
        The blocks of the view, in its coordinates, clipped to it.
    origin : tuple of int
        First corner of the view, on disk.
    disk_shape : tuple of int
        Voxels on disk.
    where : str
        The fileset, for messages.
    """

    grid: BlockGrid
    origin: Shape
    disk_shape: Shape
    where: str

    @classmethod
    def of(cls, description: FilesetDescription, where: str) -> ViewBlocks:
        """The blocks of the view of a description.

        Parameters
        ----------
        description : FilesetDescription
        where : str
            Name of the fileset for messages.

        Returns
        -------
        ViewBlocks
        """
        grid = BlockGrid(Roi.from_shape(description.view.shape), description.block_shape)
        return cls(grid, description.origin, description.shape, where)

    @property
    def view(self) -> Roi:
        """All that the view shows, in its own coordinates."""
        return self.grid.roi

    def checked(self, roi: AnyRoi) -> Roi:
        """`roi`, if it is not empty and lies within the view.

        Raises
        ------
        OutOfBounds
        """
        return checked_roi(roi, self.view.shape, f"view of {self.where}")

    def at(self, start: Shape) -> Roi:
        """The block on disk that starts at `start` in the view.

        Raises
        ------
        OutOfBounds
            If no block starts there.
        """
        at, block = as_shape(start), self.grid.block_shape
        inside = len(at) == len(block) and all(0 <= a < n for a, n in zip(at, self.view.stop, strict=True))
        if not inside or any(a % n for a, n in zip(at, block, strict=True)):
            raise OutOfBounds(
                f"no block of {self.where} starts at {list(at)}: blocks start at multiples of {list(block)} "
                f"within the view of shape {list(self.view.shape)}"
            )
        return self.on_disk(at)

    def on_disk(self, start: Shape) -> Roi:
        """The absolute roi, clipped to the shape on disk, of the block at `start` in the view."""
        begin = tuple(a + o for a, o in zip(start, self.origin, strict=True))
        ends = zip(begin, self.grid.block_shape, self.disk_shape, strict=True)
        return Roi.trusted(begin, tuple(min(a + b, n) for a, b, n in ends))

    def block_parts(self, roi: Roi) -> Iterator[BlockPart]:
        """Cut `roi`, which lies within the view, at the borders of blocks, in C order.

        Each axis is cut for itself, and the blocks are the products of these cuts.
        """
        axes = [self._cuts(axis, a, b) for axis, (a, b) in enumerate(zip(roi.start, roi.stop, strict=True))]
        for cuts in itertools.product(*axes):
            start, begin, end, first, last, slices, covers = zip(*cuts, strict=True)
            yield BlockPart(start, Roi.trusted(begin, end), Roi.trusted(first, last), slices, all(covers))

    def _cuts(self, axis: int, a: int, b: int) -> list[tuple[int, int, int, int, int, slice, bool]]:
        """The fields of `BlockPart` along one axis, for the voxels from `a` to `b`."""
        n, origin, end = self.grid.block_shape[axis], self.origin[axis], self.disk_shape[axis]
        view_stop = self.view.stop[axis]
        cuts: list[tuple[int, int, int, int, int, slice, bool]] = []
        for start in range(a // n * n, b, n):
            first, last = max(a, start), min(b, start + n)
            cuts.append(
                (
                    start,
                    start + origin,
                    min(start + origin + n, end),
                    first - start,
                    last - start,
                    slice(first - a, last - a),
                    first == start and last == min(start + n, view_stop),
                )
            )
        return cuts

    def start_of(self, block: Roi) -> Shape:
        """First corner, in the view, of a block on disk."""
        return tuple(a - o for a, o in zip(block.start, self.origin, strict=True))

    def block_may_start(self, roi: Roi, axis: int, n: int) -> bool:
        """Test if a block that touches `roi` may start at a coordinate on disk.

        Parameters
        ----------
        roi : Roi
            In voxels of the view.
        axis : int
        n : int
            In absolute voxels.

        Returns
        -------
        bool
        """
        at, size = n - self.origin[axis], self.grid.block_shape[axis]
        return at % size == 0 and at < roi.stop[axis] and at + size > roi.start[axis]

    def touching(self, roi: Roi) -> Iterator[Roi]:
        """The blocks on disk that share a voxel with `roi`, in C order."""
        return (self.on_disk(block.start) for block in self.grid.touching(self.checked(roi)))
