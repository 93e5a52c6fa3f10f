"""Files and folders that a volume owns or reads, and the test if those of two volumes meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from ...files.places import Place


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of a volume.

    Attributes
    ----------
    place : Place
    axis : str
        Empty: the whole folder belongs to the volume. A letter: others use the folder too, and
        only entries of this axis, such as ``z_00000064``, belong to the volume.
    """

    place: Place
    axis: str = ""

    def holds(self, other: Place) -> bool:
        """Test if `other` is this folder, or lies in the part of it that belongs to the volume."""
        if other.is_same(self.place):
            return True
        if not other.is_inside(self.place):
            return False
        return not self.axis or re.fullmatch(rf"{self.axis}_\d+", other.child_of(self.place)) is not None


@dataclass(frozen=True, slots=True)
class Claims:
    """Files and folders that belong together: those of an output, or those of an input."""

    files: tuple[Place, ...] = ()
    trees: tuple[Tree, ...] = ()
    _names: frozenset[object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = (name for place in self.places() for name in (place.real, place.own) if name is not None)
        object.__setattr__(self, "_names", frozenset(names))

    def places(self) -> Iterator[Place]:
        """All files and folders."""
        yield from self.files
        yield from (tree.place for tree in self.trees)

    def meeting(self, other: Claims) -> str | None:
        """The path in `other` that meets one of these, or None."""
        if not self._names.isdisjoint(other._names):  # asked for each of many jobs: the quick look first
            return next(place.path for place in other.places() if self._is_any(place))
        inside = (place.path for place in other.places() if any(tree.holds(place) for tree in self.trees))
        around = (tree.place.path for tree in other.trees if any(map(tree.holds, self.places())))
        return next(chain(inside, around), None)

    def _is_any(self, place: Place) -> bool:
        return any(own.is_same(place) for own in self.places())
