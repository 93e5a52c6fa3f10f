"""The format blockwise: a description in JSON, and a folder with an HDF5 file for each block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ...errors import OutputRefused
from ...files.places import Place
from ...files.refusals import storage_errors
from ...geometry.block_shapes import default_block_shape
from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape
from ..base.claims import Claims, Tree
from ..base.format import (
    Address,
    DiskCost,
    Durability,
    NewVolume,
    StatusFormat,
    checked_extent,
    refuse_odd_file,
)
from ..base.look import Look
from ..base.suffixes import TABLE_SUFFIXES, cut_at_file

if TYPE_CHECKING:
    from ..blockwise.fileset import BlockwiseFileset
    from ..hdf5.options import Hdf5Options


class Blockwise(StatusFormat):
    """Filesets as lazyflow lays them out. Workers write the block files; a status lies beside each."""

    name = "blockwise"
    spelling = "'x.json' (a blockwise fileset, or a volume of a web server)"
    writers: ClassVar[Literal["workers", "merger"] | None] = "workers"
    # Beside a block file: its folder, its status, a copy of the description.
    cost: ClassVar[DiskCost] = DiskCost(by_unit=True, files_per_unit=3, bytes_per_unit=20 << 10)

    def load(self) -> None:
        """Import the fileset, and what reads descriptions."""
        from ..blockwise import outputs  # noqa: F401
        from ..restful import description  # noqa: F401

    def parse(self, path: str) -> Address | None:
        """``x.json``; what it describes is not looked at."""
        is_other = not path.endswith(".json") or path.endswith(TABLE_SUFFIXES)
        if is_other or cut_at_file(path) is not None:
            return None
        return Address(self.name, path)

    def recognise(self, look: Look) -> Address | None:
        """A description of its schema. One of an unknown schema is its as well, by the ending alone."""
        if look.schema is None:
            return None
        from ..blockwise.description import SCHEMA_NAME

        return Address(self.name, look.path) if look.schema == SCHEMA_NAME else None

    def open(self, at: Address) -> BlockwiseFileset:
        """Read the description."""
        from ..blockwise.fileset import BlockwiseFileset
        from ..restful.description import schema_name

        schema_name(at.file)  # what is no JSON at all is told with the path as it was written
        return BlockwiseFileset(at.file)

    def reads(self, at: Address, *, follow_links: bool = True) -> Claims:
        """The description and the folder of its blocks."""
        tree = self._tree(at.file)
        return Claims((Place.of(at.file),), () if tree is None else (tree,))

    def _tree(self, path: str) -> Tree | None:
        """The folder of the blocks of an existing description; None if that can't be told."""
        from ..restful.description import local_blocks

        return local_blocks(path)

    def state(self, at: Address, reads: Claims) -> Iterable[bytes]:
        """Of the description, and of the status of every block, which is new when it is written again."""
        yield from super().state(at, reads)
        from ..blockwise.surroundings import status_states

        fileset = self.open(at)
        view = fileset.blocks.view
        starts = [
            range(origin, origin + extent, block)
            for origin, extent, block in zip(view.origin, view.view.stop, view.grid.block_shape, strict=True)
        ]
        yield from status_states(fileset.store.naming, starts)

    # -- an output ------------------------------------------------------------------

    def options(self) -> type[Hdf5Options]:
        """The block shape; chunks and compression of each file."""
        from ..hdf5.options import Hdf5Options

        return Hdf5Options

    def write_unit(self, options: Hdf5Options, shape: Shape, axes: str) -> Shape:
        """The block shape; a default if the job gives none."""
        block = checked_extent(options.block_shape, shape, "output.block_shape")
        return block or default_block_shape(shape, axes)

    def claims(self, at: Address) -> Claims:
        """The description and the folder beside it."""
        from ..blockwise.outputs import blocks_folder

        path = Path(at.file)
        return Claims((Place.of(path),), (Tree(Place.of(blocks_folder(path))),))

    def create(self, at: Address, new: NewVolume, *, reserve: bool = True) -> None:
        """Write the description; the blocks come from the workers."""
        from ..blockwise.fileset import BlockwiseFileset
        from ..blockwise.outputs import description_of, make_root

        BlockwiseFileset.create(at.file, description_of(at.file, new)).close()
        make_root(at.file)

    def open_to_write(
        self, at: Address, *, job: str = "", durability: Durability = "none"
    ) -> BlockwiseFileset:
        """Read the description."""
        from ..blockwise.fileset import BlockwiseFileset

        return BlockwiseFileset(at.file, "a", job=job, durability=durability)

    def check_replaceable(self, at: Address, check: Callable[[], None]) -> None:
        """Refuse a description or a folder of blocks that is something else."""
        from ..blockwise.outputs import blocks_folder

        refuse_odd_file(Path(at.file))
        root = blocks_folder(Path(at.file))
        if os.path.lexists(root) and not root.is_dir():
            raise OutputRefused(
                f"{root} is no folder, and the blocks belong there; move it, or name another output"
            )
        if root.is_dir():
            self._check_blocks_replaceable(Path(at.file), root, check)

    def _check_blocks_replaceable(self, path: Path, root: Path, check: Callable[[], None]) -> None:
        with storage_errors("look into", root):
            link = next(_links_below(str(root), check), None)
        if link is not None:
            raise OutputRefused(f"{link} is a link, and blocks would be written to where it leads; move it")
        if not path.exists() and (other := self._other_description(path, root)) is not None:
            raise OutputRefused(f"{root} holds the blocks of {other}; name another output")

    def _other_description(self, path: Path, root: Path) -> Path | None:
        """Another description in this folder whose blocks lie in `root`."""
        place = Place.of(root)
        for other in path.parent.glob("*.json"):
            tree = self._tree(str(other))
            if tree is not None and tree.place.is_same(place):
                return other
        return None

    def remove(
        self, at: Address, new: NewVolume, check: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        """Remove the description and its blocks; blocks in another folder than a job's output has stay."""
        from ..blockwise.outputs import remove_blocks, restore_description

        path = Path(at.file)
        if not os.path.lexists(path):
            return
        if path.exists():
            restore_description(at.file, new)
            if self._keeps_blocks_here(path):
                remove_blocks(at.file, check, tell)
        with storage_errors("remove", path):
            path.unlink()

    def _keeps_blocks_here(self, path: Path) -> bool:
        """Test if the existing description has its blocks in the folder of a job's output."""
        from ..blockwise.outputs import blocks_folder

        tree = self._tree(str(path))
        return tree is None or tree.place.is_same(Place.of(blocks_folder(path)))

    def sweep(self, at: Address, roi: Roi | None = None) -> int:
        """Remove partial files and locks of dead writers."""
        with self.open_to_write(at) as fileset:
            return fileset.sweep(roi)

    def voxel_files(self, at: Address) -> Iterable[Path]:
        """The block files."""
        from ..blockwise.outputs import blocks_folder

        return blocks_folder(Path(at.file)).rglob("*.h5")

    # -- what is finished -----------------------------------------------------------

    def has_finished_blocks(self, at: Address) -> bool:
        """True if a status file is there."""
        return self._any_status(at) is not None

    def written_by(self, at: Address, job: str) -> bool:
        """Test if the status of some block names this job."""
        from ..blockwise.status import parse_status

        if (status := self._any_status(at)) is None:
            return False
        with storage_errors("look into", status):
            return parse_status(status.read_bytes()).job == job

    def _any_status(self, at: Address) -> Path | None:
        """The status file of some block, or None if there is none."""
        from ..blockwise.layout import STATUS_NAME
        from ..blockwise.outputs import blocks_folder

        root = blocks_folder(Path(at.file))
        with storage_errors("look into", root):
            return next(root.rglob(STATUS_NAME), None)

    def count_finished(self, at: Address, grid: BlockGrid, most: int) -> int | None:
        """Number of task blocks whose block files are all there."""
        with self.open(at) as fileset:
            if len(fileset.grid) > most:
                return None
            return sum(
                all(fileset.block_status(block.start) for block in fileset.grid.touching(task))
                for task in grid
            )

    def take_up(self, at: Address, new: NewVolume) -> None:
        """Compare the description with the one that this job would write."""
        from ..blockwise.outputs import make_root, refuse_other_layout, restore_description

        restore_description(at.file, new)  # what lies beside it says that it is this job's
        refuse_other_layout(at.file, new)
        make_root(at.file)

    def place_of_blocks(self, at: Address) -> Place:
        """The folder of the block files."""
        from ..blockwise.outputs import blocks_folder

        return Place.of(blocks_folder(Path(at.file)))


def _links_below(folder: str, check: Callable[[], None]) -> Iterator[str]:
    """Symbolic links at any depth, which are not followed."""
    check()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield entry.path
            elif entry.is_dir(follow_symlinks=False):
                yield from _links_below(entry.path, check)
