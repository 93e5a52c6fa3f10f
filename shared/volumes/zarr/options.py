"""Settings of an output that is a Zarr array."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from ...schema.bounded_model import mistakes_at, validation_error
from ...schema.fields import Count, Extents, nearest, shown
from ..base.output_options import OutputOptions

_LEVELS = {"zstd": (1, 22), "blosc": (0, 9), "gzip": (0, 9)}


def _compression(value: object) -> object:
    """``none`` is what people write for no compression; an empty value is the default."""
    if value is None:
        return "zstd"
    names = ("none", *_LEVELS)
    if value not in names:
        guess = nearest(value, names)
        hint = f"did you mean {guess}?" if guess else f"known are {', '.join(names)}"
        raise validation_error(f"there is no compression {shown(value)} for Zarr; {hint}")
    return value


class ZarrOptions(OutputOptions):
    """The array that is written.

    Attributes
    ----------
    chunks : tuple of int, optional
        Of Zarr: extent of a chunk, which is a file, voxels per axis; default: about 128 per spatial axis.
    compression : {"zstd", "blosc", "gzip", "none"}
        Of Zarr; default: zstd. blosc is lz4 with shuffled bytes.
    compression_opts : int, optional
        Of Zarr: level of zstd, 1 to 22 (default 1), or of blosc and gzip, 0 to 9 (default 5).
    """

    per_axis: ClassVar[tuple[str, ...]] = ("chunks",)
    layout: ClassVar[tuple[str, ...]] = ("chunks", "compression", "compression_opts")

    chunks: Extents | None = None
    compression: Annotated[
        Literal["zstd", "blosc", "gzip", "none"],
        BeforeValidator(_compression),
        WithJsonSchema({"enum": [*_LEVELS, "none", None]}),
    ] = "zstd"
    compression_opts: Count | None = None

    @model_validator(mode="after")
    def _level_fits(self) -> ZarrOptions:
        level = self.compression_opts
        if level is None:
            return self
        if self.compression == "none":
            raise mistakes_at([(("compression_opts",), "is the level of a compression, and there is none")])
        low, high = _LEVELS[self.compression]
        if not low <= level <= high:
            text = f"must be between {low} and {high} for {self.compression} (is {level})"
            raise mistakes_at([(("compression_opts",), text)])
        return self

    @property
    def compressed(self) -> bool:
        """True if the size on disk can't be known before."""
        return self.compression != "none"
