"""The input and the output of a job, as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails

from ..bounds import MOST_INPUTS
from ..schema.bounded_model import BoundedModel, validation_error
from ..schema.fields import AxesField, Count, Extents, ShortForm, Switch, Text, VoxelSize, nearest, shown

_COMPRESSIONS = ("gzip", "lzf")
_NAME = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
Problems = list[tuple[tuple[str | int, ...], str]]


def mistakes_at(problems: Problems) -> ValidationError:
    """Several mistakes at once, each at a key of its own; pydantic takes them as its own findings."""
    return ValidationError.from_exception_data(
        "Job",
        [InitErrorDetails(type=validation_error(text), loc=path, input=None) for path, text in problems],
    )


def _compression(value: object) -> object:
    """``none`` is what people write for no compression."""
    if value is None or value == "none":
        return None
    if value not in _COMPRESSIONS:
        guess = nearest(value, _COMPRESSIONS)
        hint = f"did you mean {guess}?" if guess else f"known are none, {', '.join(_COMPRESSIONS)}"
        raise validation_error(f"there is no compression {shown(value)}; {hint}")
    return value


class InputVolume(BoundedModel):
    """The volume that is read.

    Attributes
    ----------
    address : str
        Such as ``cells.json`` or ``cells.h5/volume/data``.
    axes : str, optional
        One letter per axis, such as ``tzyx``; default: as the file says, else the last letters of
        ``tczyx``.
    voxel_size : tuple of float, optional
        Extent of a voxel per axis, in `unit`; default: as the file says.
    unit : str, optional
        Of the voxel size along the spatial axes, such as ``um``.
    live : bool
        Read an HDF5 file that another program is writing in SWMR mode, with the extent that it has
        when the job begins; it is not checked for changes.
    """

    address: Text
    axes: AxesField | None = None
    voxel_size: VoxelSize | None = None
    unit: Text | None = None
    live: Switch = False

    @model_validator(mode="after")
    def _unit_has_a_size(self) -> InputVolume:
        if self.unit is not None and self.voxel_size is None:
            raise mistakes_at([(("unit",), "is given, but voxel_size is not")])
        return self


def _form_of_input(value: object) -> str:
    """One volume is an address or a mapping with an address; else each key is the name of an input."""
    if not isinstance(value, Mapping) or not 0 < len(value) <= MOST_INPUTS:
        return "<one>"
    misspelled = any(nearest(key, _VOLUME_KEYS) for key in value)
    return "<one>" if misspelled else "<named>"


def _input_names(value: dict[str, InputVolume]) -> dict[str, InputVolume]:
    if wrong := [name for name in value if not _NAME.fullmatch(name)]:
        raise validation_error(
            f"{shown(wrong[0])} is no name for an input; a name has letters, digits and underscores alone"
        )
    return value


_VOLUME_KEYS = frozenset(InputVolume.model_fields)
_OneInput = Annotated[InputVolume, ShortForm("address")]
InputField = Annotated[
    Annotated[_OneInput, Tag("<one>")]
    | Annotated[
        dict[str, _OneInput],
        Field(min_length=1, max_length=MOST_INPUTS),
        AfterValidator(_input_names),
        Tag("<named>"),
    ],
    Discriminator(_form_of_input),
]


class OutputVolume(BoundedModel):
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

    address: Text
    block_shape: Extents | None = None
    chunks: Extents | None = None
    compression: Annotated[
        Literal["gzip", "lzf"] | None,
        BeforeValidator(_compression),
        WithJsonSchema({"enum": [*_COMPRESSIONS, "none", None]}),
    ] = None
    compression_opts: Count | None = None
    durability: Literal["none", "block", "group"] = "group"

    @model_validator(mode="after")
    def _level_fits(self) -> OutputVolume:
        level = self.compression_opts
        if level is not None and self.compression != "gzip":
            raise mistakes_at([(("compression_opts",), "only compression: gzip has a level")])
        if level is not None and level > 9:
            raise mistakes_at([(("compression_opts",), f"must be at most 9 (is {level})")])
        return self
