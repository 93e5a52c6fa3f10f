"""Descriptions of a web server's volume, and of a fileset that caches its blocks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...errors import BlockmillError, JobError
from ...files.description import Description
from ...files.field_kinds import Dtype, Extents, Text, as_text, replacement_fields
from ...files.json_file import JsonObject, read_json
from ...files.schema import Problem
from ...geometry.roi import Roi
from ..base.claims import Tree
from ..blockwise.description import FilesetDescription, read_description
from ..blockwise.layout import Naming
from ..blockwise.outputs import tree_of_blocks

VOLUME_SCHEMA = "RESTful-volume-description"
FILESET_SCHEMA = "RESTful-blockwise-fileset-description"
FORMATS = ("hdf5", "npy", "raw")
_MAY_LACK = "tc"  # these axes may be missing in the address: then the server gives them whole


def _as_dataset_path(value: object) -> str:
    text = as_text(value)
    return f"/{text.strip('/')}" if text else text


class _Embedded:
    """Reads a description that stands inside another."""

    reads_pairs = True

    def __init__(self, description: type[Description]) -> None:
        self._description = description

    def __call__(self, value: object) -> Description:
        if isinstance(value, self._description):
            return value
        if not isinstance(value, JsonObject):
            raise JobError("is missing")
        return self._description.parse(value)


@dataclass(frozen=True, kw_only=True)
class RESTfulVolumeDescription(Description):
    """A volume that is available over HTTP: its address and its properties.

    Parameters
    ----------
    name : str, optional
        A label.
    format : {"hdf5", "npy", "raw"}
        The form of answers whose headers name none; the original knows the first alone.
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
    shape : tuple of int
        Voxels per axis: always bounds less origin_offset, whatever is written in a file.

    Raises
    ------
    JobError
        With every field that is wrong, and why.
    """

    schema_name: ClassVar[str] = VOLUME_SCHEMA
    label: ClassVar[str] = "RESTful volume description"

    # In the order in which the original writes fields that a file leaves out.
    name: Text | None = None
    format: Text = "hdf5"
    axes: Text
    dtype: Dtype
    bounds: Extents
    shape: Extents = ()
    origin_offset: Extents = ()
    url_format: Text
    hdf5_dataset: Annotated[str, _as_dataset_path] | None = None

    def _complete(self) -> None:
        offset = self.origin_offset or (0,) * len(self.axes)
        object.__setattr__(self, "origin_offset", offset)
        shape = tuple(b - o for b, o in zip(self.bounds, offset, strict=False))  # not yet compared
        object.__setattr__(self, "shape", shape)

    def remote(self, roi: Roi) -> Roi:
        """The roi to request for `roi`, in the server's coordinates.

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

    def _mistakes(self) -> Iterator[Problem]:
        axes, bounds, offset = self.axes, self.bounds, self.origin_offset
        if self.format not in FORMATS:
            yield "format", f"is {self.format!r}; known are {', '.join(FORMATS)}"
        if self.format == "hdf5" and not (self.hdf5_dataset or "").strip("/"):
            yield "hdf5_dataset", "is missing; it names the dataset in the files that the server sends"
        if not axes.isalnum() or len(set(axes)) != len(axes):
            yield "axes", f"is {axes!r}; expected one letter per axis, each once"
        if self.dtype.hasobject:
            yield "dtype", "is object, whose voxels would be pickles, which can run code"
        if not len(axes) == len(bounds) == len(offset):
            counts = f"{len(bounds)} numbers, origin_offset {len(offset)}, axes {len(axes)} letters"
            yield "bounds", f"has {counts}"
        elif any(a < 0 or b <= a for a, b in zip(offset, bounds, strict=True)):
            yield "bounds", f"is {list(bounds)}, which must lie above origin_offset {list(offset)}, from 0 on"
        try:
            _check_url(self.url_format, axes)
        except JobError as error:
            yield "url_format", str(error)


def _check_url(text: str, axes: str) -> None:
    if not re.match(r"https?://[^/{}\s]+(/|$)", text):
        raise JobError(f"is {text!r}; it must begin with http:// or https:// and the name of a server")
    fields = replacement_fields(text)
    names = {name for name, _, _ in fields}
    if any(re.fullmatch(r"0?\d{0,2}d?", spec) is None or how for _, spec, how in fields):
        raise JobError("may give a number a width of up to two digits ({x_start:05}) and nothing else")
    allowed = {f"{letter}_{end}" for letter in axes for end in ("start", "stop")}
    if unknown := sorted(names - allowed):
        raise JobError(f"holds {{{unknown[0]}}}, which is no start or stop of the axes {axes!r}")
    for name in sorted(allowed - names):
        if name[0] not in _MAY_LACK or any(other[0] == name[0] for other in names):
            raise JobError(f"lacks {{{name}}}")


@dataclass(frozen=True, kw_only=True)
class RESTfulFilesetDescription(Description):
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

    schema_name: ClassVar[str] = FILESET_SCHEMA

    remote_description: Annotated[RESTfulVolumeDescription, _Embedded(RESTfulVolumeDescription)]
    local_description: Annotated[FilesetDescription, _Embedded(FilesetDescription)]

    def _mistakes(self) -> Iterator[Problem]:
        for field, problem in _differences(self.remote_description, self.local_description):
            yield f"remote_description and local_description: {field}", problem


def _differences(remote: RESTfulVolumeDescription, local: FilesetDescription) -> Iterator[Problem]:
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
    """The schema that a description file names.

    Raises
    ------
    JobError
        If it is missing or no JSON.
    """
    return next((value for key, value in read_json(os.fspath(path)) if key == "_schema_name"), None)


def read_local_description(path: str | os.PathLike[str]) -> FilesetDescription | None:
    """The part of a description file about block files on disk, or None if it describes a server's volume.

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


def local_blocks(path: str) -> Tree | None:
    """Folder of the blocks of an existing description, or None if it has none on this disk."""
    if not os.path.isfile(path):  # noqa: PTH113 - to open a pipe would wait for ever
        return None
    try:
        description = read_local_description(path)
    except (BlockmillError, OSError):
        return None
    return None if description is None else tree_of_blocks(path, description)


read_volume_description = RESTfulVolumeDescription.read
read_fileset_description = RESTfulFilesetDescription.read


def write_restful_description(
    path: str | os.PathLike[str],
    description: RESTfulVolumeDescription | RESTfulFilesetDescription,
    *,
    overwrite: bool = True,
) -> None:
    """Write a description file of either kind in one step.

    Parameters
    ----------
    path : str or path
    description : RESTfulVolumeDescription or RESTfulFilesetDescription
    overwrite : bool
        Replace a file that exists, instead of raising FileExistsError.
    """
    description.write(path, overwrite=overwrite)
