"""Settings of an output that is HDF5: of one file, or of the block files of a fileset."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from ...errors import JobError
from ...geometry.roi import Shape
from ...schema.bounded_model import mistakes_at, validation_error
from ...schema.fields import Count, Extents, nearest, shown
from ..base.output_options import OutputOptions

_COMPRESSIONS = ("gzip", "lzf")


def _compression(value: object) -> object:
    """``none`` is what people write for no compression."""
    if value is None or value == "none":
        return None
    if value not in _COMPRESSIONS:
        guess = nearest(value, _COMPRESSIONS)
        hint = f"did you mean {guess}?" if guess else f"known are none, {', '.join(_COMPRESSIONS)}"
        raise validation_error(f"there is no compression {shown(value)}; {hint}")
    return value


class Hdf5Options(OutputOptions):
    """The volume that is written.

    Attributes
    ----------
    address : str
        As of the input.
    block_shape : tuple of int, optional
        Extent of one block file, voxels per axis; default: chosen.
    chunks : tuple of int, optional
        HDF5 chunks, voxels per axis; default: none, or h5py's choice where compressed.
    compression : {"gzip", "lzf"}, optional
    compression_opts : int, optional
        Level of gzip, 0 to 9.
    durability : {"none", "block", "group"}
        The moment at which data is on the medium: whenever the system likes; for each block before
        it counts as done; or for groups of blocks, before the journal (or the end of the run)
        calls them done.
    """

    per_axis: ClassVar[tuple[str, ...]] = ("block_shape", "chunks")
    layout: ClassVar[tuple[str, ...]] = ("block_shape", "chunks", "compression", "compression_opts")

    block_shape: Extents | None = None
    chunks: Extents | None = None
    compression: Annotated[
        Literal["gzip", "lzf"] | None,
        BeforeValidator(_compression),
        WithJsonSchema({"enum": [*_COMPRESSIONS, "none", None]}),
    ] = None
    compression_opts: Count | None = None

    @model_validator(mode="after")
    def _level_fits(self) -> Hdf5Options:
        level = self.compression_opts
        if level is not None and self.compression != "gzip":
            raise mistakes_at([(("compression_opts",), "only compression: gzip has a level")])
        if level is not None and level > 9:
            raise mistakes_at([(("compression_opts",), f"must be at most 9 (is {level})")])
        return self

    @property
    def compressed(self) -> bool:
        """True if the size on disk can't be known before."""
        return self.compression is not None

    @property
    def stored_chunks(self) -> Shape | None:
        """The chunks, to whole ones of which each file is filled up."""
        return self.chunks

    def refuse_block_shape(self, file: str) -> None:
        """Refuse the extent of block files for an output that is one file.

        Raises
        ------
        JobError
        """
        if self.block_shape is not None:
            raise JobError(f"output.block_shape goes with a fileset (.json), not with {file}")
