"""Paths of the parts of a blockwise fileset: names only, no disk is touched.

A block has a directory of its own, one level per axis, named by its absolute start. In it lie
the HDF5 file, named by the block's absolute roi, its lock while it is written, and STATUS.txt,
whose presence means that the block is available.
"""

from __future__ import annotations

import functools
import posixpath
from dataclasses import dataclass

from ...errors import JobError
from ...geometry.roi import Roi
from ..base.suffixes import HDF5_EXTENSIONS, cuts, inner_path

STATUS_NAME = "STATUS.txt"


@dataclass(frozen=True, slots=True)
class BlockPaths:
    """The files of one block.

    Attributes
    ----------
    directory : str
        The block's own directory.
    file : str
        The HDF5 file; deeper than `directory` if the name format has sub-directories.
    internal : str
        Path of the dataset inside the file, without a leading slash.
    """

    directory: str
    file: str
    internal: str

    @property
    def lock(self) -> str:
        """The lock file of the HDF5 file."""
        return f"{self.file}.lock"

    @property
    def status(self) -> str:
        """The file whose presence means that the block is available."""
        return f"{self.directory}/{STATUS_NAME}"


@dataclass(frozen=True, slots=True)
class Naming:
    """The names of the blocks of one fileset.

    Parameters
    ----------
    root : str
        Absolute path of the directory that holds all blocks.
    axes : str
        One letter per axis.
    name_format : str
        File name and internal path, with ``{roiString}`` in it.
    """

    root: str
    axes: str
    name_format: str

    def paths(self, block: Roi) -> BlockPaths:
        """The paths of a block.

        Parameters
        ----------
        block : Roi
            In absolute voxels, its stop clipped to the shape on disk (never to a view).
        """
        return self._paths(block, *self.split(block.start, block.stop))

    def paths_of_numpy2(self, block: Roi) -> BlockPaths:
        """The paths that the original, run under numpy 2, gives a block by mistake.

        There the text of a number is ``np.int64(5)``; such files are still to be read.
        """
        return self._paths(block, *self.split(block.start, block.stop, "np.int64({})"))

    def _paths(self, block: Roi, name: str, internal: str) -> BlockPaths:
        directory = self.directory(block.start)
        return BlockPaths(directory, f"{directory}/{name}", internal)

    def directory(self, start: tuple[int, ...]) -> str:
        """The directory of the block at an absolute start."""
        levels = "/".join(f"{axis}_{n:08d}" for axis, n in zip(self.axes, start, strict=True))
        return f"{self.root.rstrip('/')}/{levels}"

    def split(self, start: tuple[int, ...], stop: tuple[int, ...], number: str = "{}") -> tuple[str, str]:
        """File name and internal path for a roi.

        Parameters
        ----------
        start, stop : tuple of int
            The block, in absolute voxels.
        number : str
            Format of one number.

        Returns
        -------
        name, internal : str

        Raises
        ------
        JobError
            If the name format leads to no HDF5 file with a dataset in it.
        """
        text = roi_string(start, stop, number)
        pattern = _pattern(self.name_format)
        if pattern is None:
            return _split(self.name_format.format(roiString=text), self.name_format)
        name, internal = pattern
        return name.replace(_ROI, text), internal.replace(_ROI, text)


# Stands for the text of a roi; neither can hold what tells a path's parts apart.
_ROI = "\0"


@functools.lru_cache(maxsize=64)
def _pattern(name_format: str) -> tuple[str, str] | None:
    """File name and internal path with a mark for the roi, or None if the format is not as simple."""
    full = name_format.format(roiString=_ROI)
    return _split(full, name_format) if full == name_format.replace("{roiString}", _ROI) else None


def _split(full: str, name_format: str) -> tuple[str, str]:
    # The last component with the extension that has something behind it is the file.
    for file, rest in reversed(cuts(full)):
        if internal := inner_path(rest):
            name = posixpath.normpath(file)
            if name.startswith(("/", "../")):
                raise JobError(f"{name_format!r} leads out of the directory of the block")
            return name, internal
    raise JobError(
        f"{name_format!r} must be a file name that ends in {', '.join(HDF5_EXTENSIONS)}, "
        "then the path of the dataset inside it, as in 'b-{roiString}.h5/volume/data'"
    )


def roi_string(start: tuple[int, ...], stop: tuple[int, ...], number: str = "{}") -> str:
    """The text of a roi in file names: ``([0, 50, 0], [100, 100, 50])``.

    Parameters
    ----------
    start, stop : tuple of int
        In absolute voxels.
    number : str
        Format of one number.

    Returns
    -------
    str
    """
    if number == "{}":
        return f"({[*map(int, start)]}, {[*map(int, stop)]})"
    ends = [", ".join(number.format(int(n)) for n in end) for end in (start, stop)]
    return f"([{ends[0]}], [{ends[1]}])"
