"""Configuration files in JSON, read and written by a schema."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..files.atomic import write_atomically
from ..files.field_kinds import as_switch
from ..files.json_file import JsonObject, dtype_text, parse_json, read_json
from ..files.schema import SCHEMA_KEYS, Converter, ParsingError, Schema, report, version_kind


class Namespace:
    """Attributes, in the order in which they were set.

    Two are equal if they have the same names with equal values, arrays included. Unlike the
    original's, neither order counts, nor does a shorter one equal a longer that begins alike.
    """

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self.__dict__.update(items)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this Namespace has no {name!r}")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Pairs of name and value."""
        return iter(self.__dict__.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Namespace):
            return NotImplemented
        own, others = self.__dict__, other.__dict__
        return own.keys() == others.keys() and all(_same(own[key], others[key]) for key in own)

    def __repr__(self) -> str:
        return f"Namespace: {list(self)}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and np.array_equal(a, b)
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


class JsonConfigParser:
    """Reads and writes JSON files of one schema; also a kind of value, for a file inside a file.

    Blanks in keys become underscores. Unknown keys are skipped, also repeated ones: people use
    them as comments. Known fields that are absent or null are None; no field is required.

    Parameters
    ----------
    fields : mapping
        Name to a callable that converts the value of JSON (``str``, ``int``, `AutoEval`, another
        `JsonConfigParser`, ...); ``bool`` takes true and false alone. ``_schema_name`` maps to a
        text, ``_schema_version`` to a number: files of the same major and no later minor version
        are understood.
    """

    reads_pairs = True

    def __init__(self, fields: Mapping[str, Any]) -> None:
        missing = [key for key in SCHEMA_KEYS if key not in fields]
        if missing:
            raise ValueError(f"the schema lacks {' and '.join(missing)}")
        self.schema_name = str(fields["_schema_name"])
        self.schema_version = float(fields["_schema_version"])
        self.fields: dict[str, Converter] = {
            key: kind for key, kind in fields.items() if key not in SCHEMA_KEYS
        }
        least, last = math.floor(self.schema_version), self.schema_version
        version = version_kind(
            lambda number: least <= number <= last, f", but only {least}.0 to {last} are understood"
        )
        kinds = {key: as_switch if kind is bool else kind for key, kind in self.fields.items()}
        self._schema = Schema(self.schema_name, version, kinds)

    def parse_config_file(self, path: str | os.PathLike[str]) -> Namespace:
        """The fields of a file, in its order; those that it leaves out follow in that of the schema.

        Raises
        ------
        SchemaError
            If it is of another schema or version, or says none.
        ParsingError
            If it can't be read, is no JSON object, or fields are wrong or stand twice: each is
            named, with the file. (The original let through what a conversion raised.)
        """
        where = os.fspath(path)
        document = read_json(where)
        try:
            return self(document)
        except ParsingError as error:
            raise report(error.problems, where) from error

    def write_config_file(self, path: str | os.PathLike[str], namespace: Namespace) -> None:
        """Write a namespace in one step, in its order, after a trial reading of the text.

        Arrays become lists, dtypes and types their names.

        Parameters
        ----------
        path : path
            An existing file is replaced.
        namespace : Namespace
            The fields and their values.

        Raises
        ------
        ParsingError
            If the file could not be read again, naming the fields; nothing is written.
        """
        try:
            text = json.dumps(dict(namespace), indent=4, default=_plain)
        except (TypeError, ValueError) as error:
            raise ParsingError(f"{os.fspath(path)}: can't be written as JSON: {error}") from error
        self(parse_json(text))
        write_atomically(os.fspath(path), text.encode(), overwrite=True)

    def __call__(self, value: Any) -> Namespace:
        """Parse an object of JSON that stands inside another; raises as `parse_config_file`."""
        if isinstance(value, Mapping):
            value = JsonObject(value.items())
        if not isinstance(value, JsonObject):
            raise ParsingError("expected a JSON object with the fields of a configuration")
        values = self._schema.read(value)
        return Namespace({**values, **{key: None for key in self._schema.kinds if key not in values}})


def _plain(value: Any) -> Any:
    """A JSON form of a value that JSON does not know."""
    if isinstance(value, Namespace):
        return dict(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, np.dtype):
        return dtype_text(value)
    if isinstance(value, type):
        return value.__name__
    raise TypeError(f"{type(value).__name__} {value!r} has no form in JSON")
