"""JSON files of descriptions and configurations: read, written, and dtypes named in one way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import JobError
from .atomic import write_atomically

Problem = tuple[str, str]  # field, what is wrong with it


class ParsingError(JobError):
    """A configuration file has mistakes, each told with file and field."""

    problems: tuple[Problem, ...] = ()


class JsonObject(list[tuple[str, Any]]):
    """A JSON object as pairs, so that keys which stand twice are seen."""


def parse_json(text: str) -> Any:
    """The value of a JSON text, each object in it a `JsonObject`.

    Raises
    ------
    ParsingError
        If it is no JSON; `read_json` adds the file's name.
    """
    try:
        return json.loads(text, object_pairs_hook=JsonObject)
    except (ValueError, RecursionError) as error:
        raise ParsingError(f"is no valid JSON: {error}") from error


def read_json(path: str | os.PathLike[str]) -> JsonObject:
    """The JSON object in a file, as pairs of key and value; a byte order mark is read over.

    Raises
    ------
    ParsingError
        Naming the file, if it is missing, no UTF-8, no JSON, or no object.
    """
    where = os.fspath(path)
    try:
        document = parse_json(Path(where).read_text("utf-8-sig"))
    except OSError as error:
        raise ParsingError(f"{where}: can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ParsingError(f"{where}: is no valid JSON: {error}") from error
    except ParsingError as error:
        raise ParsingError(f"{where}: {error}") from error
    if not isinstance(document, JsonObject):
        raise ParsingError(f"{where}: expected a JSON object with named fields")
    return document


def without_pairs(value: Any) -> Any:
    """A value of `parse_json` with dicts in place of pairs; of a key that stands twice, the last counts."""
    if isinstance(value, JsonObject):
        return {key: without_pairs(item) for key, item in value}
    return [without_pairs(item) for item in value] if isinstance(value, list) else value


def json_bytes(document: dict[str, Any]) -> bytes:
    """The text of a file, laid out as the original does: four blanks, no newline at the end."""
    return json.dumps(document, indent=4).encode()


def write_json(path: str | os.PathLike[str], document: dict[str, Any], *, overwrite: bool = True) -> None:
    """Write a JSON file in one step; it is on the medium before it has its name.

    Parameters
    ----------
    path : str or path
    document : dict
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    FileExistsError
        If `overwrite` is off and the file exists.
    """
    write_atomically(os.fspath(path), json_bytes(document), overwrite=overwrite, sync=True)


_BARE_NAMES = {
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float32",
    "float64",
    "bool",
    "object",
}


def dtype_text(dtype: np.dtype) -> str:
    """A dtype as lazyflow reads it: ``uint8`` where that knows the bare name, else ``numpy.float16``.

    Where no name gives the byte order, it is an expression: ``numpy.dtype('>u2')``.
    """
    if np.dtype(dtype.name) != dtype:
        return f"numpy.dtype({dtype.str!r})"
    return dtype.name if dtype.name in _BARE_NAMES else f"numpy.{dtype.name}"
