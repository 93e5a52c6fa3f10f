"""The format npy: one array of numpy in one file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from ...errors import JobError
from ..base.array_volume import ArrayVolume
from ..base.format import Address, Durability, Format, NewVolume
from ..base.suffixes import cut_at_file

if TYPE_CHECKING:
    from ..hdf5.options import Hdf5Options


class Npy(Format):
    """Files of numpy. One process writes an output; the format keeps neither axes nor voxel size."""

    name = "npy"
    spelling = "'a.npy'"
    spelling_tells = False
    writers: ClassVar[Literal["workers", "merger"] | None] = "merger"

    def load(self) -> None:
        """Import the volume."""
        from .. import npy  # noqa: F401
        from ..hdf5 import contents  # noqa: F401

    def parse(self, path: str) -> Address | None:
        """``a.npy``, in any case; not a dataset of that name inside of an HDF5 file."""
        if not path.lower().endswith(".npy") or cut_at_file(path) is not None:
            return None
        return Address(self.name, path)

    def open(self, at: Address) -> ArrayVolume:
        """Map the file."""
        from ..npy import NpyVolume

        return NpyVolume(at.file)

    def options(self) -> type[Hdf5Options]:
        """The settings of HDF5, to be refused each in its own words."""
        from ..hdf5.options import Hdf5Options

        return Hdf5Options

    def check_options(self, at: Address, options: Hdf5Options) -> None:
        """Refuse the settings of HDF5: nothing of them can be kept here."""
        if options.compression or options.chunks:
            raise JobError("output.compression and output.chunks don't go with .npy; use .h5 or .json")
        options.refuse_block_shape(at.file)

    def check_replaceable(self, at: Address, check: Callable[[], None]) -> None:
        """Refuse a file that is HDF5 in truth, and holds something."""
        super().check_replaceable(at, check)
        from ..hdf5.contents import refuse_other_contents

        refuse_other_contents(at.file, "")

    def create(self, at: Address, new: NewVolume, *, reserve: bool = True) -> None:
        """Make a file of zeros."""
        from ..npy import NpyVolume

        NpyVolume.create(at.file, new.shape, new.dtype, axes=new.meaning.axes, reserve=reserve).close()

    def open_to_write(self, at: Address, *, job: str = "", durability: Durability = "none") -> ArrayVolume:
        """Map the file to be changed."""
        from ..npy import NpyVolume

        return NpyVolume(at.file, "r+", reserve=False)
