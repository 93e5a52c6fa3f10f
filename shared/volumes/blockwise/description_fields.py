"""The fields of a blockwise fileset's description: how each is read, and what fits together."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...errors import JobError
from ...expressions import dtype_from, evaluate
from .layout import Naming

SCHEMA_NAME = "blockwise-fileset-description"
SCHEMA_VERSIONS = (1.0, 1.1)
MAX_EXTENT = 2**63 - 1
MAX_NAME_WIDTH = 200  # of a format's {roiString:>50}; a file name holds 255 bytes

Problem = tuple[str, str]  # field, what is wrong with it


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _evaluated(value: object) -> object:
    return evaluate(value) if isinstance(value, str) else value


def as_extent(value: object) -> int:
    """A whole number; ``120.0``, which a division gives, counts as one."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or abs(int(value)) > MAX_EXTENT:
        raise JobError(f"expected a whole number, got {_shown(value)}")
    return int(value)


def as_extents(value: object) -> tuple[int, ...]:
    """Whole numbers, one per axis, from a list or from the text of one."""
    items = _evaluated(value)
    if isinstance(items, np.ndarray):
        items = items.tolist()
    if not isinstance(items, list | tuple):
        raise JobError(f"expected a list of whole numbers, one per axis, got {_shown(value)}")
    return tuple(as_extent(item) for item in items)


def as_drange(value: object) -> tuple[float, float]:
    """Lowest and highest value, whole numbers staying whole."""
    items = _evaluated(value)
    if isinstance(items, np.ndarray):
        items = items.tolist()
    if not isinstance(items, list | tuple) or len(items) != 2:
        raise JobError(f"expected two numbers, lowest and highest, got {_shown(value)}")
    if any(isinstance(n, bool) or not isinstance(n, int | float | np.number) for n in items):
        raise JobError(f"expected two numbers, lowest and highest, got {_shown(value)}")
    low, high = (n.item() if isinstance(n, np.number) else n for n in items)
    if np.asarray((low, high)).dtype.kind not in "iuf" or not np.isfinite((low, high)).all():
        raise JobError(f"{_shown(value)} are no two finite numbers of 64 bits")
    return low, high


def as_option(value: object) -> int:
    """A whole number or the text of one."""
    return as_extent(_evaluated(value))


def as_text(value: object) -> str:
    """A text; numbers, which people leave unquoted, become one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise JobError(f"expected a text, got {_shown(value)}")
    if "\0" in value or not value.isprintable():
        raise JobError(f"holds characters that can't be printed: {_shown(value)}")
    return value


def as_version(value: object) -> float:
    """The schema version, checked to be one that is understood."""
    try:
        version = (
            float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        )
    except (ValueError, OverflowError):
        version = None
    if version not in SCHEMA_VERSIONS:
        raise JobError(f"is {_shown(value)}, but only versions 1.0 and 1.1 are understood")
    return version


# In the order in which the original writes fields that a file leaves out.
CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "name": as_text,
    "format": as_text,
    "axes": as_text,
    "shape": as_extents,
    "dtype": dtype_from,
    "drange": as_drange,
    "chunks": as_extents,
    "compression": as_text,
    "compression_opts": as_option,
    "block_shape": as_extents,
    "view_origin": as_extents,
    "view_shape": as_extents,
    "block_file_name_format": as_text,
    "dataset_root_dir": as_text,
    "hash_id": as_text,
    "sub_block_shape": as_extents,
}
REQUIRED = ("format", "axes", "shape", "dtype", "block_shape", "block_file_name_format")
_PER_AXIS = ("shape", "chunks", "block_shape", "view_origin", "view_shape", "sub_block_shape")


def convert(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The known fields of `raw` in their own types, and what is wrong with them one by one."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for field, converter in CONVERTERS.items():
        value = raw.get(field)
        if value is None:
            if field in REQUIRED:
                problems.append((field, _missing(field)))
            continue
        try:
            values[field] = converter(value)
        except (JobError, TypeError, ValueError) as error:
            problems.append((field, str(error)))
    return values, problems


def _missing(field: str) -> str:
    if field == "dtype":
        return 'is missing; say for example "uint8" (old files without it were written as "float32")'
    return "is missing"


def cross_check(values: dict[str, Any]) -> list[Problem]:
    """What is wrong with fields that are fine one by one."""
    return [*_check_texts(values), *(_check_lengths(values) or _check_extents(values))]


def _check_texts(values: dict[str, Any]) -> Iterable[Problem]:
    if values["format"] != "hdf5":
        yield "format", f'is {_shown(values["format"])}, but only "hdf5" is known'
    axes = values["axes"]
    if not axes or len(set(axes)) != len(axes) or not all(letter.isalnum() for letter in axes):
        yield "axes", f"is {_shown(axes)}; expected one letter per axis, each once"
    if values.get("compression_opts") is not None and values.get("compression") is None:
        yield "compression_opts", "is given, but compression is not"
    drange = values.get("drange")
    if drange is not None and not drange[0] <= drange[1]:
        yield "drange", f"has its lowest value {drange[0]} above its highest {drange[1]}"
    yield from (("block_file_name_format", problem) for problem in _format_problems(values))


def _format_problems(values: dict[str, Any]) -> Iterable[str]:
    text = values["block_file_name_format"]
    try:
        fields = [
            (name, spec, how) for _, name, spec, how in string.Formatter().parse(text) if name is not None
        ]
    except ValueError as error:
        return [f"is no valid format: {error}"]
    if "roiString" not in [name for name, _, _ in fields]:
        return ["lacks {roiString}, which tells the block files apart"]
    for name, spec, conversion in fields:
        if name != "roiString" or conversion is not None or "{" in (spec or ""):
            return [f"holds {{{name}}}; only {{roiString}} is known"]
        digits = "".join(c if c.isdigit() else " " for c in spec or "").split()
        if any(len(n) > 4 or int(n) > MAX_NAME_WIDTH for n in digits):
            return [f"pads {{roiString}} to more than {MAX_NAME_WIDTH} characters"]
    try:
        Naming("/", values["axes"], text).split((0,), (1,))
    except (JobError, ValueError) as error:
        return [str(error)]
    return []


def _check_lengths(values: dict[str, Any]) -> list[Problem]:
    expected = len(values["axes"])
    return [
        (field, f"has {len(values[field])} numbers, but axes {_shown(values['axes'])} has {expected} letters")
        for field in _PER_AXIS
        if values.get(field) is not None and len(values[field]) != expected
    ]


def _check_extents(values: dict[str, Any]) -> list[Problem]:
    problems = [
        (field, f"is {list(values[field])}; each number must be at least {least}")
        for field in _PER_AXIS
        for least in [0 if field == "view_origin" else 1]
        if values.get(field) is not None and any(n < least for n in values[field])
    ]
    return problems or [*_check_view(values)]


def _check_view(values: dict[str, Any]) -> Iterable[Problem]:
    shape, block = values["shape"], values["block_shape"]
    origin = values.get("view_origin") or (0,) * len(shape)
    view = values.get("view_shape") or tuple(n - o for n, o in zip(shape, origin, strict=True))
    if any(o % b for o, b in zip(origin, block, strict=True)):
        yield "view_origin", f"is {list(origin)}; each number must be a multiple of block_shape {list(block)}"
    if any(o >= n for o, n in zip(origin, shape, strict=True)):
        yield "view_origin", f"is {list(origin)}, which lies outside the shape {list(shape)}"
        return
    if any(o + v > n for o, v, n in zip(origin, view, shape, strict=True)):
        yield (
            "view_shape",
            f"is {list(view)}, which with view_origin {list(origin)} leaves the shape {list(shape)}",
        )
    sub = values.get("sub_block_shape")
    if sub is not None and any(b % s and b < v for s, b, v in zip(sub, block, view, strict=True)):
        yield (
            "sub_block_shape",
            f"is {list(sub)}; it must divide block_shape {list(block)} where a block is less than the view",
        )


def report(where: str, problems: Iterable[Problem]) -> JobError:
    """One error that tells every problem with its place."""
    return JobError("\n".join(f"{where}: {field}: {problem}" for field, problem in problems))
