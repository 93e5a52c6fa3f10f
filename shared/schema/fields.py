"""The types of the fields that people write by hand: strict, and refused in plain words."""

from __future__ import annotations

import difflib
import json
import math
import numbers
import os
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    Tag,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from ..bounds import MOST_PREDECESSORS, MOST_TEXT
from ..errors import JobError
from ..geometry.roi import Roi
from ..outside_text import clean
from .bounded_model import few_axes, validation_error, within_bounds

DTYPES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "float32", "float64",
)  # fmt: skip
INT64_MIN, INT64_MAX, UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1
_UNITS = {"B": 1} | {
    prefix + suffix: base ** (power + 1)
    for power, prefix in enumerate("KMGT")
    for suffix, base in (("iB", 1024), ("B", 1000))
}
_LONGEST_WORD = 100
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)


def shown(value: object) -> str:
    """A value as it stands in a message: short, on one line, texts in quotes."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple) and len(value) > 8:
        return f"a list of {len(value)}"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = " ".join(repr(value).split())
    text = text.encode("utf-8", "backslashreplace").decode()  # names of files may be no text
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(word: object, candidates: Iterable[str]) -> str | None:
    """The candidate that is most like a word, for "did you mean".

    Parameters
    ----------
    word : object
        The word as written; anything but a text counts as its text.
    candidates : iterable of str

    Returns
    -------
    str or None
        None if no word is near.
    """
    if len(text := str(word)) > _LONGEST_WORD:  # to compare it would take long
        return None
    matches = difflib.get_close_matches(text, list(candidates), n=1)
    return matches[0] if matches else None


def parse_size(value: object) -> int:
    """A number of bytes from an int or from a text such as ``"2GiB"`` or ``"500 MB"``.

    Raises
    ------
    JobError
        If it is neither, or negative; the message lists the units.
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 0:
        return int(value)
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        units = {unit.lower(): factor for unit, factor in _UNITS.items()}
        unit = match[2].lower() or "b"
        factor = units.get(unit) or units.get(f"{unit}ib")  # 2G is 2GiB, as it is for ulimit and docker
        if factor is not None:
            return int(Fraction(match[1]) * factor)
    raise JobError(
        f"must be a whole number of bytes or a size such as 2GiB, in {', '.join(_UNITS)} (is {shown(value)})"
    )


def _size(value: object) -> int:
    try:
        return parse_size(value)
    except JobError as error:
        raise validation_error(str(error)) from None


def _plain_number(value: object) -> object:
    """Numpy's numbers become Python's, so that strict fields take them; bools stay bools."""
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _exact_number(value: object) -> int | float:
    """An int within 64 bits or a finite float; a float without a fraction becomes the int that it is."""
    number = _plain_number(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise validation_error(f"must be a number (is {shown(value)})")
    if not math.isfinite(number):
        raise validation_error(f"must be a finite number (is {number})")
    if isinstance(number, float) and number.is_integer() and INT64_MIN <= number <= UINT64_MAX:
        return int(number)
    if isinstance(number, int) and not INT64_MIN <= number <= UINT64_MAX:
        raise validation_error(f"must fit into 64 bits (is {shown(number)})")
    return number


def _of_bounded_length(text: str) -> str:
    """Pydantic's own bound takes texts of Unicode alone, and names of files may be others."""
    if len(text) > MOST_TEXT:
        raise validation_error(f"must be a text of at most {MOST_TEXT} characters (has {len(text)})")
    return text


def _printable(text: str) -> str:
    strange = [part for part in text.split("/") if any("\ud800" <= c <= "\udfff" for c in part)]
    if strange:
        raise validation_error(
            f"the name {shown(strange[0])} is not UTF-8, which names must be here; rename it, or make a "
            "link to the folder (ln -s), and name the files by way of the link"
        )
    if not text.strip() or not text.isprintable():
        raise validation_error(
            f"must be a text without line breaks and control characters (is {shown(text)})"
        )
    return text


def _dtype_name(text: str) -> str:
    if text in DTYPES:
        return text
    guess = nearest(text, DTYPES)
    hint = f"did you mean {guess}?" if guess else f"known are {', '.join(DTYPES)}"
    raise validation_error(f"{clean(text, 60)} is no dtype for volumes; {hint}")


def _plain_value(value: object, where: str) -> object:
    """A deep copy in JSON's own types, or an error that names the place in `where`."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain_value(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        if wrong_key := next((key for key in value if not isinstance(key, str)), None):
            raise validation_error(f"{where} has a key that is no text ({shown(wrong_key)})")
        return {key: _plain_value(item, f"{where}.{key}") for key, item in value.items()}
    number = _plain_number(value)
    if isinstance(number, float) and math.isfinite(number):
        return number
    if isinstance(number, int) and INT64_MIN <= number <= UINT64_MAX:
        return number
    raise validation_error(
        f"{where} must be a text, true or false, a finite 64-bit number, a list or a mapping "
        f"(is {shown(value)})"
    )


def _plain_arguments(value: dict[str, object]) -> dict[str, object]:
    return {key: _plain_value(item, key) for key, item in value.items()}


def _one_or_each(value: object) -> str:
    if isinstance(value, Mapping):
        return "<named>"
    return "<each>" if isinstance(value, list | tuple) else "<one>"


def _each_axis_once(value: dict[str, Any]) -> dict[str, Any]:
    """Keys of one or more letters, an axis each: ``{z: 1, yx: 2}``."""
    letters = "".join(value)
    if "" in value or not letters.isalnum():
        raise validation_error("must have axes as its keys, such as z or yx")
    if twice := next((letter for letter in letters if letters.count(letter) > 1), None):
        raise validation_error(f"names the axis {twice} twice")
    return value


class _RoiPair:
    """Roi as ``[[start, ...], [stop, ...]]`` in files and on the wire."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        corners = handler.generate_schema(tuple[tuple[Count, ...], ...])
        pair = core_schema.no_info_before_validator_function(self._corners, corners)
        return core_schema.no_info_after_validator_function(
            self._roi,
            pair,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda roi: [list(roi.start), list(roi.stop)]
            ),
        )

    @staticmethod
    def _corners(value: object) -> object:
        if isinstance(value, Roi):
            return value.start, value.stop
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise validation_error(f"must be two corners, [[start, ...], [stop, ...]] (is {shown(value)})")
        if not all(isinstance(corner, list | tuple) and corner for corner in value):
            raise validation_error(f"must be two corners, [[start, ...], [stop, ...]] (is {shown(value)})")
        few_axes(max(value, key=len))
        if len(value[0]) != len(value[1]):
            raise validation_error(
                f"its two corners have {len(value[0])} and {len(value[1])} entries; give one per axis to both"
            )
        return value

    @staticmethod
    def _roi(corners: tuple[tuple[int, ...], ...]) -> Roi:
        roi = Roi.of(corners)
        if roi.empty:
            raise validation_error(f"{roi} holds no voxel: some stop equals its start")
        return roi


def _several(value: object) -> object:
    """One number or name stands for a list of it."""
    if value is None:
        return ()
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len(items) > MOST_PREDECESSORS:
        raise validation_error(f"names {len(items)} jobs; a job may follow at most {MOST_PREDECESSORS}")
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | str) or item == "":
            raise validation_error(
                f"must be the number or the name of a job, or a list of them (is {shown(item)})"
            )
    return tuple(items)


class ShortForm:
    """A mapping with one chief key, for which a bare text may stand: ``input: cells.json``."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._expanded, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}

    def _expanded(self, value: object) -> object:
        if isinstance(value, str | os.PathLike):
            return {self.key: os.fspath(value)}
        if value is None or isinstance(value, bool | int | float | list | tuple):
            raise validation_error(f"must be an {self.key} or a mapping with {self.key} (is {shown(value)})")
        return value


class Keyed:
    """Parameters below their name: ``{gaussian: {sigma: 2}}``; the bare name gives none."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        parameters = handler(source)
        return core_schema.no_info_before_validator_function(
            self._parameters,
            parameters,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, serialize: {self.name: serialize(value)}, schema=parameters
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        inner = handler(schema)
        keyed = {
            "type": "object",
            "properties": {self.name: inner},
            "required": [self.name],
            "additionalProperties": False,
        }
        if "required" in handler.resolve_ref_schema(inner):
            return keyed
        return {"anyOf": [{"const": self.name}, keyed]}

    def _parameters(self, value: object) -> object:
        if isinstance(value, str):
            return {}
        inner = value[self.name] if isinstance(value, Mapping) else value
        return {} if inner is None else inner


_T = TypeVar("_T")
_Text = Annotated[str, StringConstraints(strict=True), AfterValidator(_of_bounded_length)]

# The bounds stand inside of the conversion, so that JSON Schema sees them.
Count = Annotated[int, Field(strict=True, ge=0, le=INT64_MAX), BeforeValidator(_plain_number)]
Integer = Annotated[int, Field(strict=True, ge=INT64_MIN, le=INT64_MAX), BeforeValidator(_plain_number)]
Extent = Annotated[int, Field(strict=True, ge=1, le=INT64_MAX), BeforeValidator(_plain_number)]
Extents = Annotated[tuple[Extent, ...], Field(min_length=1), BeforeValidator(few_axes)]
FiniteFloat = Annotated[float, Field(strict=True, allow_inf_nan=False), BeforeValidator(_plain_number)]
PositiveFloat = Annotated[
    float, Field(strict=True, allow_inf_nan=False, gt=0), BeforeValidator(_plain_number)
]
Width = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=0, le=1e6), BeforeValidator(_plain_number)
]
Truncation = Annotated[
    float, Field(strict=True, allow_inf_nan=False, gt=0, le=1000), BeforeValidator(_plain_number)
]
Factor = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=1, le=1000), BeforeValidator(_plain_number)
]
Switch = Annotated[bool, Field(strict=True)]
ExactNumber = Annotated[int | float, BeforeValidator(_exact_number), WithJsonSchema({"type": "number"})]


def _axes(value: str) -> str:
    if not value.isalnum() or len(set(value)) != len(value):
        raise validation_error(f"must have one letter per axis, each once, such as tzyx (is {shown(value)})")
    return value


# One number is for the spatial axes; a list has an entry per axis; a mapping names axes.
_PerAxis = Annotated[
    Annotated[_T, Tag("<one>")]
    | Annotated[tuple[_T, ...], Field(min_length=1), Tag("<each>")]
    | Annotated[dict[str, _T], Field(min_length=1), AfterValidator(_each_axis_once), Tag("<named>")],
    Discriminator(_one_or_each),
    BeforeValidator(few_axes),
]
WidthPerAxis = _PerAxis[Width]
CountPerAxis = _PerAxis[Count]
ExtentPerAxis = _PerAxis[Extent]
RoiField = Annotated[Roi, _RoiPair()]
Text = Annotated[_Text, AfterValidator(_printable)]
AxesField = Annotated[_Text, AfterValidator(_axes)]
VoxelSize = Annotated[
    tuple[
        Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0), BeforeValidator(_plain_number)], ...
    ],
    Field(min_length=1),
    BeforeValidator(few_axes),
]
DtypeName = Annotated[_Text, AfterValidator(_dtype_name), WithJsonSchema({"enum": list(DTYPES)})]
Size = Annotated[
    int,
    Field(ge=1, le=INT64_MAX),
    BeforeValidator(_size),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
]
JobReferences = Annotated[
    tuple[int | str, ...],
    BeforeValidator(_several),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["integer", "string"]},
                {"type": "array", "items": {"type": ["integer", "string"]}},
            ]
        }
    ),
]
PlainArguments = Annotated[dict[str, Any], AfterValidator(_plain_arguments), BeforeValidator(within_bounds)]
