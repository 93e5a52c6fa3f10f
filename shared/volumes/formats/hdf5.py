"""The format hdf5: one dataset of one HDF5 file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from ...errors import JobError, StorageError
from ...files.places import Place
from ...geometry.roi import Shape
from ..base.array_volume import ArrayVolume
from ..base.claims import Claims
from ..base.format import Address, Durability, Format, NewVolume, checked_extent
from ..base.look import Look
from ..base.suffixes import HDF5_EXTENSIONS, cut_at_file, inner_path

if TYPE_CHECKING:
    from ..hdf5.options import Hdf5Options


class Hdf5(Format):
    """Datasets of HDF5 files, known by their signature whatever they are called. One process writes."""

    name = "hdf5"
    spelling = "'f.h5/volume/data' (a dataset in an HDF5 file; a new one ends in .h5, .hdf5 or .ilp)"
    writers: ClassVar[Literal["workers", "merger"] | None] = "merger"

    def load(self) -> None:
        """Import h5py and the volume."""
        from ..hdf5 import contents, live, sources, volume  # noqa: F401

    def parse(self, path: str) -> Address | None:
        """``f.h5/volume/data``; a folder may be called ``x.h5``."""
        cut = cut_at_file(path)
        return None if cut is None else self._dataset_at(path, *cut)

    def recognise(self, look: Look) -> Address | None:
        """A file of any name that has the signature, such as ``f.ims/DataSet/Data``."""
        file = look.file
        if look.cut is None or file.endswith(".json") or file.lower().endswith(HDF5_EXTENSIONS):
            return None
        from ..hdf5.contents import is_hdf5

        try:
            return self._dataset_at(look.path, file, look.rest) if is_hdf5(file) else None
        except StorageError:  # it may not be read, which its opening tells
            return None

    def _dataset_at(self, path: str, file: str, rest: str) -> Address:
        if not (internal := inner_path(rest)):
            raise JobError(_without_dataset(path, file))
        return Address(self.name, file, internal)

    def open(self, at: Address) -> ArrayVolume:
        """Open the file."""
        from ..hdf5.volume import Hdf5Volume

        volume = Hdf5Volume(at.file, at.internal)
        _ = volume.shape  # opens the file now, so that a missing dataset is an error here
        return volume

    def open_live(self, at: Address, extent: Shape | None) -> ArrayVolume:
        """Open a file that another program writes in SWMR mode."""
        from ..hdf5.live import LiveHdf5Volume

        volume = LiveHdf5Volume(at.file, at.internal, extent)
        _ = volume.shape
        return volume

    def reads(self, at: Address, *, follow_links: bool = True) -> Claims:
        """The file, and those that its dataset leads to."""
        if not follow_links:
            return super().reads(at)
        from ..hdf5.sources import files_behind

        return Claims(tuple(map(Place.of, files_behind(at.file, at.internal))))

    def options(self) -> type[Hdf5Options]:
        """Chunks and compression."""
        from ..hdf5.options import Hdf5Options

        return Hdf5Options

    def check_options(self, at: Address, options: Hdf5Options) -> None:
        """Refuse a block shape: there is one file."""
        options.refuse_block_shape(at.file)

    def write_unit(self, options: Hdf5Options, shape: Shape, axes: str) -> Shape | None:
        """The chunks, if the job says some."""
        block = checked_extent(options.block_shape, shape, "output.block_shape")
        return block or checked_extent(options.chunks, shape, "output.chunks")

    def create(self, at: Address, new: NewVolume, *, reserve: bool = True) -> None:
        """Make a file with one dataset."""
        from ..hdf5.volume import Hdf5Volume

        options: Hdf5Options = new.options
        Hdf5Volume.create(
            at.file,
            at.internal,
            new.shape,
            new.dtype,
            meaning=new.meaning,
            chunks=options.chunks,
            compression=options.compression,
            compression_opts=options.compression_opts,
            reserve=reserve,
        ).close()

    def open_to_write(self, at: Address, *, job: str = "", durability: Durability = "none") -> ArrayVolume:
        """Open the file to be changed."""
        from ..hdf5.volume import Hdf5Volume

        volume = Hdf5Volume(at.file, at.internal, mode="r+")
        _ = volume.shape
        return volume

    def inside(self, at: Address) -> str | None:
        """The dataset that a job has written into the file; others, in words, if it is not there."""
        from ..hdf5.contents import dataset_names

        names = dataset_names(at.file)
        return at.internal if at.internal in names else ", ".join(names[:5])

    def check_replaceable(self, at: Address, check: Callable[[], None]) -> None:
        """Refuse a file that holds something beside the dataset; of a link, only the link goes."""
        super().check_replaceable(at, check)
        from ..hdf5.contents import refuse_other_contents

        refuse_other_contents(at.file, at.internal)

    def reuses_space(self, new: NewVolume) -> bool:
        """True of chunks: after a kill in the middle of HDF5's bookkeeping it may give their space away."""
        return new.options.compressed or new.options.stored_chunks is not None


def _without_dataset(path: str, file: str) -> str:
    from ..hdf5.contents import dataset_names

    hint = "add the path of a dataset in it, as in 'f.h5/volume/data'"
    try:
        names = dataset_names(file)
    except StorageError:
        names = []  # it may not exist yet; the message is about the address
    if names:
        hint += f"; the file has {', '.join(names[:10])}" + (", ..." if len(names) > 10 else "")
    return f"{path!r} names an HDF5 file alone; {hint}"
