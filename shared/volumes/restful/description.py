"""Descriptions of what a web server gives out: of the volume, and of a fileset that keeps its blocks."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import JobError
from ...expressions import dtype_from
from ...files.json_file import JsonObject, dtype_text, read_json, write_json
from ...geometry.roi import Roi, Shape
from ..blockwise.description import FilesetDescription, parse_description, plain_description, read_description
from ..blockwise.description_fields import Problem, as_extents, as_text, report
from ..blockwise.layout import Naming

VOLUME_SCHEMA = "RESTful-volume-description"
FILESET_SCHEMA = "RESTful-blockwise-fileset-description"
FORMATS = ("hdf5", "npy", "raw")
_SCHEMA_KEYS = ("_schema_name", "_schema_version")
_MAY_LACK = "tc"  # these axes may be missing in the address: then the server gives them whole

# In the order in which the original writes what a file leaves out.
_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "name": as_text,
    "format": as_text,
    "axes": as_text,
    "dtype": dtype_from,
    "bounds": as_extents,
    "shape": as_extents,
    "origin_offset": as_extents,
    "url_format": as_text,
    "hdf5_dataset": as_text,
}


@dataclass(frozen=True, kw_only=True)
class RESTfulVolumeDescription:
    """Where a volume is to be had over HTTP, and what it is.

    Parameters
    ----------
    name : str, optional
        A label.
    format : {"hdf5", "npy", "raw"}
        What the server sends where its answer does not tell; the original knows the first alone.
    axes : str
        One letter per axis, in the order of the arrays that the server sends.
    dtype : numpy.dtype
        Of the voxels, as the server sends them.
    bounds : tuple of int
        Exclusive upper end of the volume, in voxels of the server's coordinates.
    origin_offset : tuple of int
        The server's coordinates of our voxel 0; default: zeros.
    url_format : str
        With ``{x_start}`` and ``{x_stop}`` for each axis, which are filled with the server's
        coordinates, the stop exclusive. Axes ``t`` and ``c`` may be missing: then every answer
        holds all of them. The original asks for x, y and z even of a volume that lacks one.
    hdf5_dataset : str
        Path of the dataset in the HDF5 files; a leading slash is added.

    Raises
    ------
    JobError
        Naming every field that is wrong, and why.
    """

    name: str | None = None
    format: str = "hdf5"
    axes: str
    dtype: np.dtype
    bounds: Shape
    origin_offset: Shape = ()
    url_format: str
    hdf5_dataset: str | None = None
    key_order: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        raw = {key: getattr(self, key) for key in _CONVERTERS if key != "shape"}
        raw["origin_offset"] = raw["origin_offset"] or None
        values = _checked(raw, "RESTful volume description")
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def shape(self) -> Shape:
        """Voxels per axis: always bounds less origin_offset, whatever a file says beside."""
        return tuple(b - o for b, o in zip(self.bounds, self.origin_offset, strict=True))

    def remote(self, roi: Roi) -> Roi:
        """What has to be asked for to get `roi`, in the server's coordinates.

        An axis that the address does not name is taken whole.
        """
        named = {letter for letter in self.axes if f"{{{letter}_start" in self.url_format}
        ends = [
            (a + o, b + o) if letter in named else (o, n)
            for letter, a, b, o, n in zip(self.axes, *roi, self.origin_offset, self.bounds, strict=True)
        ]
        return Roi(tuple(a for a, _ in ends), tuple(b for _, b in ends))

    def url(self, remote: Roi) -> str:
        """The address of a roi in the server's coordinates."""
        starts = {f"{letter}_start": n for letter, n in zip(self.axes, remote.start, strict=True)}
        stops = {f"{letter}_stop": n for letter, n in zip(self.axes, remote.stop, strict=True)}
        return self.url_format.format(**starts, **stops)


def _checked(raw: dict[str, Any], where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, converter in _CONVERTERS.items():
        if raw.get(key) is None:
            if key in ("axes", "dtype", "bounds", "url_format"):
                problems.append((key, "is missing"))
            continue
        try:
            values[key] = converter(raw[key])
        except (JobError, TypeError, ValueError) as error:
            problems.append((key, str(error)))
    if not problems:
        values.pop("shape", None)
        values.setdefault("format", "hdf5")
        values.setdefault("origin_offset", (0,) * len(values["axes"]))
        if values.get("hdf5_dataset"):
            values["hdf5_dataset"] = "/" + values["hdf5_dataset"].strip("/")
        problems = [*_problems(values)]
    if problems:
        raise report(where, problems)
    return values


def _problems(values: dict[str, Any]) -> Iterator[Problem]:
    axes, bounds, offset = values["axes"], values["bounds"], values["origin_offset"]
    if values["format"] not in FORMATS:
        yield "format", f"is {values['format']!r}; known are {', '.join(FORMATS)}"
    if values["format"] == "hdf5" and not values.get("hdf5_dataset", "").strip("/"):
        yield "hdf5_dataset", "is missing; it names the dataset in the files that the server sends"
    if not axes.isalnum() or len(set(axes)) != len(axes):
        yield "axes", f"is {axes!r}; expected one letter per axis, each once"
    if values["dtype"].hasobject:
        yield "dtype", "is object, whose voxels would be pickles, which can run code"
    if not len(axes) == len(bounds) == len(offset):
        yield "bounds", f"has {len(bounds)} numbers, origin_offset {len(offset)}, axes {len(axes)} letters"
    elif any(a < 0 or b <= a for a, b in zip(offset, bounds, strict=True)):
        yield "bounds", f"is {list(bounds)}, which must lie above origin_offset {list(offset)}, from 0 on"
    yield from (("url_format", problem) for problem in _url_problems(values["url_format"], axes))


def _url_problems(text: str, axes: str) -> Iterable[str]:
    if not re.match(r"https?://[^/{}\s]+(/|$)", text):
        return [f"is {text!r}; it must begin with http:// or https:// and the name of a server"]
    try:
        items = [*string.Formatter().parse(text)]
    except ValueError as error:
        return [f"is no valid format: {error}"]
    fields = [(name, spec or "", how) for _, name, spec, how in items if name is not None]
    found = {name for name, _, _ in fields}
    if any(re.fullmatch(r"0?\d{0,2}d?", spec) is None or how for _, spec, how in fields):
        return ["may give a number a width of up to two digits ({x_start:05}) and nothing else"]
    known = {f"{letter}_{end}" for letter in axes for end in ("start", "stop")}
    if unknown := sorted(found - known):
        return [f"holds {{{unknown[0]}}}, which is no start or stop of the axes {axes!r}"]
    lacking = [
        name
        for name in sorted(known - found)
        if name[0] not in _MAY_LACK or any(other[0] == name[0] for other in found)
    ]
    return [f"lacks {{{lacking[0]}}}"] if lacking else []


@dataclass(frozen=True, kw_only=True)
class RESTfulFilesetDescription:
    """A fileset on disk that holds blocks of a volume of a server.

    Parameters
    ----------
    remote_description : RESTfulVolumeDescription
    local_description : FilesetDescription

    Raises
    ------
    JobError
        If the two don't fit: axes, dtype (which the original does not compare), a local shape
        that exceeds the remote one, or the dataset's path in the files, which must be the same
        so that the original can take the server's files as its own.
    """

    remote_description: RESTfulVolumeDescription
    local_description: FilesetDescription

    def __post_init__(self) -> None:
        problems = [*_misfits(self.remote_description, self.local_description)]
        if problems:
            raise report("remote_description and local_description", problems)


def _misfits(remote: RESTfulVolumeDescription, local: FilesetDescription) -> Iterator[Problem]:
    if remote.axes != local.axes:
        yield "axes", f"differ: {remote.axes!r} and {local.axes!r}"
        return
    if remote.dtype != local.dtype:
        yield "dtype", f"differ: {remote.dtype} and {local.dtype}"
    if any(n > r for n, r in zip(local.shape, remote.shape, strict=True)):
        yield "shape", f"is {list(local.shape)} here, but only {list(remote.shape)} at the server"
    _, internal = Naming("/", local.axes, local.block_file_name_format).split(local.shape, local.shape)
    if remote.format == "hdf5" and remote.hdf5_dataset != f"/{internal}":
        yield "hdf5_dataset", f"is {remote.hdf5_dataset!r}, but the block files have '/{internal}'"


def schema_name(path: str | os.PathLike[str]) -> object:
    """What a description file says it describes.

    Raises
    ------
    JobError
        If it is missing or no JSON.
    """
    return next((value for key, value in read_json(os.fspath(path)) if key == "_schema_name"), None)


def read_local_description(path: str | os.PathLike[str]) -> FilesetDescription | None:
    """What a description file of any kind says of block files on disk; None: it is of a volume of a server.

    Raises
    ------
    JobError
        If the description is missing or wrong.
    """
    schema = schema_name(path)
    if schema == VOLUME_SCHEMA:
        return None
    return (
        read_fileset_description(path).local_description
        if schema == FILESET_SCHEMA
        else read_description(path)
    )


def read_volume_description(path: str | os.PathLike[str]) -> RESTfulVolumeDescription:
    """Read and check the description of a volume; unknown keys are skipped, a given shape too.

    Raises
    ------
    JobError
        Naming the file and each field that is wrong.
    """
    where = os.fspath(path)
    return _volume_of(read_json(where), where)


def _volume_of(document: JsonObject, where: str) -> RESTfulVolumeDescription:
    raw = _fields(document, VOLUME_SCHEMA, _CONVERTERS, where)
    values = _checked(raw, where)
    return RESTfulVolumeDescription(**values, key_order=tuple(raw))


def _fields(document: JsonObject, schema: str, known: Iterable[str], where: str) -> dict[str, Any]:
    """The known fields of an object, its schema checked."""
    raw: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in document:
        name = key.replace(" ", "_")
        if name in raw:
            problems.append((name, "stands twice; keep one of them"))
        if name in known or name in _SCHEMA_KEYS:
            raw[name] = value
    if raw.get("_schema_name") != schema:
        problems.append(("_schema_name", f"is {raw.get('_schema_name')!r}, expected {schema!r}"))
    if raw.get("_schema_version") not in (1, "1.0", "1"):
        problems.append(("_schema_version", f"is {raw.get('_schema_version')!r}; only 1.0 is understood"))
    if problems:
        raise report(where, problems)
    return raw


def read_fileset_description(path: str | os.PathLike[str]) -> RESTfulFilesetDescription:
    """Read and check a composite description.

    Raises
    ------
    JobError
        Naming the file and each field that is wrong.
    """
    where = os.fspath(path)
    parts = ("remote_description", "local_description")
    raw = _fields(read_json(where), FILESET_SCHEMA, parts, where)
    if missing := [(part, "is missing") for part in parts if not isinstance(raw.get(part), JsonObject)]:
        raise report(where, missing)
    remote = _volume_of(raw["remote_description"], f"{where}: remote_description")
    local = parse_description(raw["local_description"], f"{where}: local_description")
    try:
        return RESTfulFilesetDescription(remote_description=remote, local_description=local)
    except JobError as error:
        raise JobError(f"{where}: {error}") from error


def plain_volume_description(description: RESTfulVolumeDescription) -> dict[str, Any]:
    """A description as plain values for JSON, in the order of the file it came from."""
    values: dict[str, Any] = {key: getattr(description, key) for key in _CONVERTERS}
    values |= {"dtype": dtype_text(description.dtype), "_schema_name": VOLUME_SCHEMA, "_schema_version": 1.0}
    order = dict.fromkeys((*description.key_order, *_SCHEMA_KEYS, *_CONVERTERS))
    return {key: values[key] for key in order}


def write_restful_description(
    path: str | os.PathLike[str],
    description: RESTfulVolumeDescription | RESTfulFilesetDescription,
    *,
    overwrite: bool = True,
) -> None:
    """Write a description file of either kind in one step.

    Raises
    ------
    FileExistsError
        If `overwrite` is off and the file exists.
    """
    if isinstance(description, RESTfulVolumeDescription):
        plain = plain_volume_description(description)
    else:
        plain = {
            "_schema_name": FILESET_SCHEMA,
            "_schema_version": 1.0,
            "remote_description": plain_volume_description(description.remote_description),
            "local_description": plain_description(description.local_description),
        }
    write_json(path, plain, overwrite=overwrite)
