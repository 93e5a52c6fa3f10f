"""The input and the output of a job, as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from ..bounds import MOST_INPUTS
from ..errors import JobError
from ..schema.bounded_model import BoundedModel, mistakes_at, validation_error
from ..schema.fields import AxesField, ShortForm, Switch, Text, VoxelSize, nearest, shown
from ..volumes.base.output_options import OutputOptions
from ..volumes.registry import format_of, formats, split_address

MASK = "<mask>"
"""What stands for the mask among the names of inputs."""
T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)


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


def checked_names(value: dict[str, T]) -> dict[str, T]:
    """Refuse names that are not made of letters, digits and underscores; a validator."""
    if wrong := [name for name in value if not _NAME.fullmatch(name)]:
        raise validation_error(
            f"{shown(wrong[0])} is no name here; a name has letters, digits and underscores alone"
        )
    return value


_VOLUME_KEYS = frozenset(InputVolume.model_fields)
OneInput = Annotated[InputVolume, ShortForm("address")]
InputField = Annotated[
    Annotated[OneInput, Tag("<one>")]
    | Annotated[
        dict[str, OneInput],
        Field(min_length=1, max_length=MOST_INPUTS),
        AfterValidator(checked_names),
        Tag("<named>"),
    ],
    Discriminator(_form_of_input),
]


def _options_at(address: object) -> type[OutputOptions]:
    """The settings that an output of this address takes; of one that nothing spells, those of all formats."""
    try:
        return format_of(split_address(address)).options() if isinstance(address, str) else _first_options()
    except JobError:  # told when the address is used
        return _first_options()


def _first_options() -> type[OutputOptions]:
    return next(formats()).options()


def _validated(value: object) -> OutputOptions:
    if isinstance(value, OutputOptions):
        return value
    if not isinstance(value, Mapping):
        return _first_options().model_validate(value)
    options = _options_at(value.get("address"))
    known = {key for one in formats() for key in one.options().model_fields}
    if foreign := [key for key in value if key in known and key not in options.model_fields]:
        text = f"does not go with {value.get('address')}; known there are {', '.join(options.model_fields)}"
        raise mistakes_at([((key,), text) for key in foreign])
    return options.model_validate(value)


class _AnyOutput:
    """Makes the field of a job that holds an output: the settings that the format of its address takes."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value, info: value.model_dump(mode="json", exclude_defaults=info.exclude_defaults),
                info_arg=True,
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        kinds = dict.fromkeys(one.options() for one in formats() if one.writers is not None)
        return _merged([handler.resolve_ref_schema(handler(one.__pydantic_core_schema__)) for one in kinds])


OutputField = Annotated[OutputOptions, _AnyOutput()]


def _merged(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """One mapping with the keys of all; a key that formats take differently has a choice of values."""
    first, *others = schemas
    merged = {**first, "properties": dict(first["properties"])}
    for other in others:
        for key, value in other["properties"].items():
            before = merged["properties"].setdefault(key, value)
            if _values(before) != _values(value):
                kept = {name: part for name, part in before.items() if name not in _values(before)}
                merged["properties"][key] = {**kept, "anyOf": [_values(before), _values(value)]}
        merged["description"] += other.get("description", "").partition("----------")[2]
    return merged


def _values(schema: dict[str, Any]) -> dict[str, Any]:
    """What a key's schema says of its values, without title and default."""
    return {name: part for name, part in schema.items() if name not in ("default", "title", "description")}
