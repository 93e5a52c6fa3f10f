"""Files that a volume owns or reads, and the test if those of two volumes meet.

An output owns its claims: overwriting removes these files and nothing else. Two jobs
clash if claims of one meet claims, or reads, of the other, however the paths are spelled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from ..errors import BlockmillError
from ..files.places import Place, absolute
from .formats import Address
from .hdf5.sources import files_behind
from .restful.description import read_local_description


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


def blocks_folder(output: Path) -> Path:
    """Folder of the block files of a fileset that a job writes."""
    return output.with_name(f"{output.stem}_blocks")


def records_folder(output: Path) -> Path:
    """The hidden folder beside an output, with the records of its job."""
    return output.with_name(f".{output.name}.blockmill")


def claims_of(address: Address) -> Claims:
    """Files and folders that an output at this address owns, whether it exists yet or not."""
    output = Path(address.file)
    trees = [Tree(Place.of(records_folder(output)))]
    if address.kind == "fileset":
        trees.append(Tree(Place.of(blocks_folder(output))))
    return Claims((Place.of(output),), tuple(trees))


def reads_of(address: Address, *, follow_links: bool = True) -> Claims:
    """Files and folders that a job reads from an input at this address.

    A file that can't be opened counts by itself alone; the error comes when it is read.

    Parameters
    ----------
    address : Address
    follow_links : bool
        Open an HDF5 file to find the other files that its dataset leads to.

    Returns
    -------
    Claims
    """
    if address.kind == "hdf5" and follow_links:
        return Claims(tuple(map(Place.of, files_behind(address.file, address.internal))))
    file = Place.of(address.file)
    tree = _tree_of_blocks(address.file) if address.kind == "fileset" else None
    return Claims((file,), (tree,) if tree is not None else ())


def _tree_of_blocks(description_path: str) -> Tree | None:
    """Folder of the blocks of an existing description, or None if it has none on this disk."""
    if not Path(description_path).is_file():  # to open a pipe would wait for ever
        return None
    try:
        description = read_local_description(description_path)
    except (BlockmillError, OSError):
        return None
    if description is None:
        return None
    inside = os.path.expanduser(description.dataset_root_dir)  # noqa: PTH111
    folder = os.path.dirname(absolute(description_path))
    place = Place.of(os.path.normpath(os.path.join(folder, inside)))
    home = Place.of(folder)
    shared = home.is_same(place) or home.is_inside(place)
    return Tree(place, description.axes[0] if shared else "")
