"""Configuration files in JSON, read and written by a schema."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import JobError
from ..files.atomic import write_atomically
from ..files.json_file import JsonObject, dtype_text, parse_json, read_json, without_pairs
from .jsonfields import ParsingError, SchemaError

_SCHEMA_KEYS = ("_schema_name", "_schema_version")


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
        mine, theirs = self.__dict__, other.__dict__
        return mine.keys() == theirs.keys() and all(_same(mine[key], theirs[key]) for key in mine)

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

    def __init__(self, fields: Mapping[str, Any]) -> None:
        missing = [key for key in _SCHEMA_KEYS if key not in fields]
        if missing:
            raise ValueError(f"the schema lacks {' and '.join(missing)}")
        self.schema_name = str(fields["_schema_name"])
        self.schema_version = float(fields["_schema_version"])
        self.fields: dict[str, Callable[[Any], Any]] = {
            key: kind for key, kind in fields.items() if key not in _SCHEMA_KEYS
        }

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
        try:
            document = read_json(where)
        except JobError as error:
            raise ParsingError(str(error)) from error
        try:
            return self(document)
        except ParsingError as error:
            lines = "\n".join(f"{where}: {line}" for line in str(error).split("\n"))
            raise type(error)(lines) from error

    def write_config_file(self, path: str | os.PathLike[str], namespace: Namespace) -> None:
        """Write a namespace in one step, in its order, after a trial reading of what is written.

        Arrays become lists, dtypes and types their names.

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
        known, problems = self._known(value)
        self._check_schema(known)
        values = {key: self._converted(key, item, problems) for key, item in known.items()}
        if problems:
            raise ParsingError("\n".join(problems))
        return Namespace({**values, **{key: None for key in self.fields if key not in values}})

    def _known(self, document: JsonObject) -> tuple[dict[str, Any], list[str]]:
        known: dict[str, Any] = {}
        problems: list[str] = []
        for key, value in document:
            name = key.replace(" ", "_")
            if name not in self.fields and name not in _SCHEMA_KEYS:
                continue
            if name in known:
                problems.append(f"{name}: stands twice; keep one of them")
            known[name] = value
        return known, problems

    def _check_schema(self, known: dict[str, Any]) -> None:
        if known.get("_schema_name") != self.schema_name:
            raise SchemaError(
                f"_schema_name: is {known.get('_schema_name')!r}, expected {self.schema_name!r}"
            )
        said = known.get("_schema_version")
        try:
            version = math.nan if said is None or isinstance(said, bool) else float(said)
        except (TypeError, ValueError, OverflowError):
            version = math.nan
        if not math.floor(self.schema_version) <= version <= self.schema_version:
            raise SchemaError(
                f"_schema_version: is {said!r}, but only {math.floor(self.schema_version)}.0 to "
                f"{self.schema_version} are understood"
            )
        known["_schema_version"] = version

    def _converted(self, key: str, value: Any, problems: list[str]) -> Any:
        kind = self.fields.get(key)
        if value is None or kind is None:
            return value
        try:
            return _as_kind(kind, value)
        except (JobError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            problems.extend(f"{key}: {line}" for line in str(error).split("\n"))
            return None


def _as_kind(kind: Callable[[Any], Any], value: Any) -> Any:
    if kind is bool and not isinstance(value, bool):
        raise ParsingError(f"expected true or false, got {value!r}")
    return kind(value if isinstance(kind, JsonConfigParser) else without_pairs(value))


def _plain(value: Any) -> Any:
    """What JSON can say, for a value that it can't."""
    if isinstance(value, Namespace):
        return dict(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, np.dtype):
        return dtype_text(value)
    if isinstance(value, type):
        return value.__name__
    raise TypeError(f"{type(value).__name__} {value!r} has no form in JSON")
