"""Kinds of fields of descriptions: each converts a value as people write it, or raises a JobError."""

from __future__ import annotations

import string
from typing import Annotated, Any

import numpy as np

from ..errors import JobError
from ..expressions import dtype_from, evaluate
from .schema import shown

MAX_EXTENT = 2**63 - 1


def _items(value: object) -> Any:
    """The value that a text stands for; arrays as lists."""
    items = evaluate(value) if isinstance(value, str) else value
    return items.tolist() if isinstance(items, np.ndarray) else items


def as_extent(value: object) -> int:
    """A whole number; ``120.0``, which a division gives, counts as one."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or abs(int(value)) > MAX_EXTENT:
        raise JobError(f"expected a whole number, got {shown(value)}")
    return int(value)


def as_extents(value: object) -> tuple[int, ...]:
    """Whole numbers, one per axis, from a list or from the text of one."""
    items = _items(value)
    if not isinstance(items, list | tuple):
        raise JobError(f"expected a list of whole numbers, one per axis, got {shown(value)}")
    return tuple(as_extent(item) for item in items)


def as_drange(value: object) -> tuple[float, float]:
    """Lowest and highest value, whole numbers staying whole."""
    items = _items(value)
    if (
        not isinstance(items, list | tuple)
        or len(items) != 2
        or any(isinstance(n, bool) or not isinstance(n, int | float | np.number) for n in items)
    ):
        raise JobError(f"expected two numbers, lowest and highest, got {shown(value)}")
    low, high = (n.item() if isinstance(n, np.number) else n for n in items)
    if np.asarray((low, high)).dtype.kind not in "iuf" or not np.isfinite((low, high)).all():
        raise JobError(f"{shown(value)} are no two finite numbers of 64 bits")
    return low, high


def as_numbers(value: object) -> tuple[float, ...]:
    """Finite numbers, one per axis, from a list or from the text of one."""
    items = _items(value)
    if not isinstance(items, list | tuple) or not all(
        isinstance(n, int | float | np.number) and not isinstance(n, bool) and np.isfinite(n) for n in items
    ):
        raise JobError(f"expected a list of finite numbers, one per axis, got {shown(value)}")
    return tuple(float(n) for n in items)


def as_texts(value: object) -> tuple[str, ...]:
    """Texts, one per axis."""
    if not isinstance(value, list | tuple):
        raise JobError(f"expected a list of texts, one per axis, got {shown(value)}")
    return tuple(as_text(item) for item in value)


def as_option(value: object) -> int:
    """A whole number or the text of one."""
    return as_extent(evaluate(value) if isinstance(value, str) else value)


def as_text(value: object) -> str:
    """A text; numbers, which people leave unquoted, become one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise JobError(f"expected a text, got {shown(value)}")
    if not value.isprintable():
        raise JobError(f"holds characters that can't be printed: {shown(value)}")
    return value


def as_switch(value: object) -> bool:
    """True or false, and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise JobError(f"expected true or false, got {value!r}")
    return value


def replacement_fields(text: str) -> list[tuple[str, str, str | None]]:
    """Name, format and conversion of each ``{name!conversion:format}`` in a text.

    Raises
    ------
    JobError
        If braces don't match.
    """
    try:
        fields = [*string.Formatter().parse(text)]
    except ValueError as error:
        raise JobError(f"is no valid format: {error}") from error
    return [(name, spec or "", how) for _, name, spec, how in fields if name is not None]


Text = Annotated[str, as_text]
Extents = Annotated[tuple[int, ...], as_extents]
Dtype = Annotated[np.dtype, dtype_from]
Range = Annotated[tuple[float, float], as_drange]
Option = Annotated[int, as_option]
Numbers = Annotated[tuple[float, ...], as_numbers]
Texts = Annotated[tuple[str, ...], as_texts]
Switch = Annotated[bool, as_switch]
