"""Regions of interest: half-open boxes of voxels in the axes order of their volume."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import OutOfBounds

Shape = tuple[int, ...]


def as_shape(values: Iterable[object]) -> Shape:
    """Plain Python ints from any iterable of whole numbers (numpy's included).

    Raises
    ------
    TypeError
        If a value is no whole number.
    """
    try:
        items: tuple[Any, ...] = tuple(values)
    except TypeError:
        raise TypeError(
            f"expected whole numbers, one per axis, such as (64, 64, 64), got {values!r}"
        ) from None
    try:
        return tuple(map(operator.index, items))
    except TypeError:
        raise TypeError(_not_whole(items)) from None


def _not_whole(items: tuple[Any, ...]) -> str:
    wrong = next((item for item in items if not isinstance(item, numbers.Integral)), items)
    number = float(wrong) if isinstance(wrong, numbers.Real) else 0.5
    if number.is_integer():
        return f"{wrong!r} in {items!r} is a float; voxels are counted in ints: write {int(number)}"
    return f"{wrong!r} in {items!r} is no whole number, in which voxels are counted"


@dataclass(frozen=True, slots=True, order=True)
class Roi:
    """A box ``[start, stop)`` of voxels, one entry per axis.

    Parameters
    ----------
    start, stop : tuple of int
        Same length; ``stop`` is exclusive. ``stop < start`` is refused.

    Raises
    ------
    OutOfBounds
        If the lengths differ or the box is inside out.
    """

    start: Shape
    stop: Shape

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", as_shape(self.start))
        object.__setattr__(self, "stop", as_shape(self.stop))
        if len(self.start) != len(self.stop):
            raise OutOfBounds(f"roi start {self.start} and stop {self.stop} differ in length")
        if any(b < a for a, b in zip(self.start, self.stop, strict=True)):
            raise OutOfBounds(f"roi {self} is inside out: a stop lies before its start")

    @classmethod
    def of(cls, value: Roi | Sequence[Iterable[object]]) -> Roi:
        """Make a Roi from a Roi or from any pair of iterables ``(start, stop)``.

        Raises
        ------
        TypeError
            If it is no pair, or holds something else than whole numbers.
        OutOfBounds
            If the corners differ in length, or it is inside out.
        """
        if isinstance(value, Roi):
            return value
        try:
            start, stop = map(tuple, value)
        except (TypeError, ValueError):
            raise TypeError(
                "a roi is a pair of corners, ((start, ...), (stop, ...)), with one number per axis in each, "
                f"not {value!r}"
            ) from None
        return cls(as_shape(start), as_shape(stop))

    @classmethod
    def from_shape(cls, shape: Iterable[object]) -> Roi:
        """The whole of a volume of `shape`."""
        stop = as_shape(shape)
        return cls((0,) * len(stop), stop)

    @classmethod
    def trusted(cls, start: Shape, stop: Shape) -> Roi:
        """Make a Roi without any check, where the checks would cost more than the work.

        Parameters
        ----------
        start, stop : tuple of int
            Plain ints, of the same length, with ``start <= stop``.

        Returns
        -------
        Roi
        """
        roi = object.__new__(cls)
        object.__setattr__(roi, "start", start)
        object.__setattr__(roi, "stop", stop)
        return roi

    def __iter__(self) -> Iterator[Shape]:
        """`start`, then `stop`: a roi unpacks like a pair."""
        return iter((self.start, self.stop))

    def __getitem__(self, corner: int) -> Shape:
        """`start` is 0, `stop` is 1."""
        return (self.start, self.stop)[corner]

    def __len__(self) -> int:
        return 2

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.start)

    @property
    def shape(self) -> Shape:
        """Extent per axis, in voxels."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def volume(self) -> int:
        """Number of voxels, exact for any size."""
        return math.prod(self.shape)

    @property
    def empty(self) -> bool:
        """True if an axis has no extent."""
        return any(a == b for a, b in zip(self.start, self.stop, strict=True))

    def contains(self, other: Roi) -> bool:
        """Test if `other` lies wholly inside this roi."""
        return all(a <= c for a, c in zip(self.start, other.start, strict=True)) and all(
            d <= b for b, d in zip(self.stop, other.stop, strict=True)
        )

    def intersection(self, other: Roi) -> Roi | None:
        """The common box, or None if the two share no voxel."""
        start = tuple(map(max, self.start, other.start))
        stop = tuple(map(min, self.stop, other.stop))
        if any(b <= a for a, b in zip(start, stop, strict=True)):
            return None
        return Roi(start, stop)

    def shifted(self, offset: Iterable[int]) -> Roi:
        """The box moved by `offset` voxels per axis."""
        by = tuple(offset)
        return Roi(
            tuple(a + o for a, o in zip(self.start, by, strict=True)),
            tuple(b + o for b, o in zip(self.stop, by, strict=True)),
        )

    def relative_to(self, origin: Iterable[int]) -> Roi:
        """The box as seen from `origin`."""
        return self.shifted(-o for o in origin)

    def grown(self, halo: Iterable[int], within: Roi | None = None) -> Roi:
        """The box enlarged by `halo` voxels on both sides of each axis.

        Parameters
        ----------
        halo : iterable of int
            Voxels per axis.
        within : Roi, optional
            The result is clipped to it.

        Returns
        -------
        Roi
        """
        by = tuple(halo)
        start = tuple(a - h for a, h in zip(self.start, by, strict=True))
        stop = tuple(b + h for b, h in zip(self.stop, by, strict=True))
        if within is not None:
            start = tuple(map(max, start, within.start))
            stop = tuple(map(min, stop, within.stop))
        return Roi(start, stop)

    def to_slice(self) -> tuple[slice, ...]:
        """Slices of plain ints, to index an array with."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def check_within(self, shape: Iterable[int], what: str = "volume") -> None:
        """Refuse a roi that is empty or leaves ``[0, shape)``.

        Parameters
        ----------
        shape : iterable of int
            Voxels per axis of the volume.
        what : str
            Name of the volume in the error.

        Raises
        ------
        OutOfBounds
            With the roi, the volume and the axis.
        """
        bounds = tuple(shape)
        if len(bounds) != self.ndim:
            raise OutOfBounds(f"roi {self} has {self.ndim} axes, the {what} has {len(bounds)}")
        for axis, (a, b, n) in enumerate(zip(self.start, self.stop, bounds, strict=True)):
            if a < 0 or b > n:
                raise OutOfBounds(f"roi {self} leaves the {what} of shape {list(bounds)} on axis {axis}")
            if a == b:
                raise OutOfBounds(f"roi {self} is empty on axis {axis}")

    def __str__(self) -> str:
        return f"{list(self.start)}-{list(self.stop)}"


RoiLike = Roi | Sequence[Iterable[object]]
"""A roi, or a pair of corners ``(start, stop)``."""
