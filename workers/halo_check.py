"""The check that a function's halo is enough: a piece of one block is computed with a larger one.

A function that looks further than its halo gives seams, and nothing else shows them: each block is
right by itself.
The piece is computed twice with the job's own halo. Only if both agree bit for bit (the function is
not random) is it computed with larger ones, and the kept voxels are compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..shared.geometry.roi import Roi, Shape

_STEPS = (8, 4, 2, 1)
"""By how many voxels the halo is made larger."""
_SMALLEST_PIECE = 4
_MORE_MEMORY = 1.3
_FLOAT_TOLERANCE = 1e-5  # of the range of values: sums in another order differ by less

Compute = Callable[[Roi, Roi], NDArray]


@dataclass(frozen=True, slots=True)
class HaloCheck:
    """What the check needs to know.

    Attributes
    ----------
    bounds : Roi
        The whole input.
    block : Roi
        Kept voxels of a task, in voxels of the input.
    halo : tuple of int
        The job's own, per axis.
    budget_voxels : int
        Most voxels that the check may read.
    compute : callable
        Takes the roi to read and the roi to keep; returns the kept voxels.
    pieces : bool
        True if a piece of the block will do. A function that is told where its block lies may write
        files of that name, so it only gets blocks that there are.
    """

    bounds: Roi
    block: Roi
    halo: Shape
    budget_voxels: int
    compute: Compute
    pieces: bool

    def note(self) -> str:
        """What a person is told, or an empty text if the halo is enough or nothing can be said."""
        try:
            return self._note()
        except Exception:  # noqa: BLE001 - the block itself is computed; a second time proves nothing
            return ""

    def _note(self) -> str:
        for most in _STEPS:
            for piece in self._pieces():
                if self._cost(piece, most) <= self.budget_voxels and self._fits_memory(piece, most):
                    return self._judge(piece, most)
        return ""

    def _pieces(self) -> Iterator[Roi]:
        """The block, and ever smaller pieces from its middle."""
        yield self.block
        edge = max(self.block.shape)
        while self.pieces and (edge := edge // 2) >= _SMALLEST_PIECE:
            shape = tuple(min(n, edge) for n in self.block.shape)
            along = zip(self.block.start, self.block.shape, shape, strict=True)
            start = tuple(first + (n - m) // 2 for first, n, m in along)
            yield Roi.from_shape(shape).shifted(start)

    def _cost(self, piece: Roi, most: int) -> int:
        steps = [step for step in _STEPS if step <= most]
        return sum(math.prod(self._read_roi(piece, step).shape) for step in (0, 0, *steps))

    def _fits_memory(self, piece: Roi, most: int) -> bool:
        """True if the largest call takes little more than the block itself, for which there is room."""
        return self._read_roi(piece, most).volume <= _MORE_MEMORY * self._read_roi(self.block, 0).volume

    def _read_roi(self, piece: Roi, more: int) -> Roi:
        return piece.grown(tuple(h + more for h in self.halo), within=self.bounds)

    def _with_halo(self, piece: Roi, more: int) -> NDArray:
        return self.compute(self._read_roi(piece, more), piece)

    def _judge(self, piece: Roi, most: int) -> str:
        own = self._with_halo(piece, 0)
        if not np.array_equal(own, self._with_halo(piece, 0), equal_nan=own.dtype.kind in "fc"):
            return ""
        largest = self._with_halo(piece, most)
        if _alike(own, largest):
            return ""
        enough = most
        for step in (step for step in _STEPS if step < most):
            if not _alike(self._with_halo(piece, step), largest):
                break
            enough = step
        return self._words(enough, is_enough=enough < most)

    def _words(self, more: int, *, is_enough: bool) -> str:
        told = "the result depends on voxels outside of its halo, so the output has seams between blocks; "
        halo = [h + more for h in self.halo]
        text = str(halo[0] if len(set(halo)) == 1 else halo)
        if is_enough:
            return f"{told}halo: {text} is enough (halo_check: false turns this check off)"
        return (
            f"{told}halo: {text} may not be enough either: does the function look at the whole volume? "
            "(halo_check: false turns this check off)"
        )


def _alike(a: NDArray, b: NDArray) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return True  # the error of the block says more
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    finite: Any = b[np.isfinite(b)]
    span = float(np.ptp(finite.real)) if finite.size else 0.0
    return bool(np.allclose(a, b, rtol=0.0, atol=_FLOAT_TOLERANCE * span, equal_nan=True))
