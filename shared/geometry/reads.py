"""Which voxels of the input a block of the output is made of, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from .roi import Roi, Shape


@dataclass(frozen=True, slots=True)
class Reads:
    """The map from blocks of an output to boxes of its input.

    Attributes
    ----------
    part : Roi
        The part of the input that the output is made of, in voxels of the input.
    scale : tuple of int
        Voxels of the input along each axis for one voxel of the output. At the end of an axis fewer may
        be left for the last one.
    halo : tuple of int
        Voxels that are read around that, per axis.
    """

    part: Roi
    scale: Shape
    halo: Shape

    @property
    def shape(self) -> Shape:
        """The shape of the whole output."""
        return tuple(-(-n // s) for n, s in zip(self.part.shape, self.scale, strict=True))

    def kept(self, block: Roi) -> Roi:
        """The box of the input that a block stands for, without halo.

        Parameters
        ----------
        block : Roi
            In voxels of the output.

        Returns
        -------
        Roi
            In voxels of the input.
        """
        begin, end = self.part.start, self.part.stop
        start = tuple(b + n * s for b, n, s in zip(begin, block.start, self.scale, strict=True))
        stop = tuple(min(b + n * s, e) for b, n, s, e in zip(begin, block.stop, self.scale, end, strict=True))
        return Roi.trusted(start, stop)
