"""Paths in job files, made absolute before the job is checked."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..files.places import absolute

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"(?<![^/])\$(?:(\w+)|\{(\w+)\})(?![^/])", re.ASCII)


def with_absolute_paths(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A copy of a job's mapping, checked or not, in which no path depends on the current folder."""
    copied = _absolute_volumes(data, folder, ())
    inputs, stages = copied.get("inputs"), copied.get("stages")
    if isinstance(inputs, dict):
        copied["inputs"] = {name: _absolute_volume(one, folder, ()) for name, one in inputs.items()}
    if isinstance(stages, dict):
        names = {*stages, *(inputs if isinstance(inputs, dict) else ())}
        copied["stages"] = {
            name: _absolute_volumes(stage, folder, names) if isinstance(stage, dict) else stage
            for name, stage in stages.items()
        }
    if isinstance(copied.get("user_code"), str):
        copied["user_code"] = _absolute(copied["user_code"], folder)
    return copied


def _absolute_volumes(data: Mapping[str, Any], folder: Path, names: Collection[str]) -> dict[str, Any]:
    """A copy of a mapping with absolute paths in its keys input, mask and output.

    Parameters
    ----------
    data : dict
    folder : Path
        Where relative paths start.
    names : collection of str
        What stands for another input or stage, and so is no path.
    """
    copied = dict(data)
    if "input" in copied:
        copied["input"] = _absolute_volume(copied["input"], folder, names, by_name=True)
    if "mask" in copied:
        copied["mask"] = _absolute_volume(copied["mask"], folder, names)
    if "output" in copied:
        copied["output"] = _absolute_volume(copied["output"], folder, ())
    return copied


def _absolute_volume(value: Any, folder: Path, names: Collection[str], *, by_name: bool = False) -> Any:
    """A volume as a job file has it, or several by their names, with absolute paths."""
    if isinstance(value, str):
        return value if value in names else _absolute(value, folder)
    if isinstance(value, dict) and isinstance(value.get("address"), str):
        return value | {"address": _absolute_volume(value["address"], folder, names)}
    if by_name and isinstance(value, dict):
        return {name: _absolute_volume(volume, folder, names) for name, volume in value.items()}
    return value


def is_relative(path: str) -> bool:
    """True if a path means another file in another working folder."""
    return not Path(path).is_absolute() and not _SCHEME.match(path)


def _absolute(address: str, folder: Path) -> str:
    """The file part of an address made absolute, without ``..``; what names a scheme is left alone."""
    if not address.strip() or _SCHEME.match(address):
        return address
    # A name that is no account's stays as it is: then it is the name of a folder.
    path = os.path.expanduser(address)  # noqa: PTH111
    return absolute(folder.absolute() / _with_variables(path, folder))


def _with_variables(path: str, folder: Path) -> str:
    """A path with ``$NAME`` and ``${NAME}`` replaced where they are whole names of folders or files.

    A variable that is not set, and a file that has such a name, stay as they are.
    """

    def value(match: re.Match[str]) -> str:
        literal = os.path.lexists(folder / path[: match.end()])
        return match[0] if literal else os.environ.get(match[1] or match[2], match[0])

    return _VARIABLE.sub(value, path)
