"""The description of a blockwise fileset: a JSON file beside the directory of its blocks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from ...errors import JobError
from ...files.json_file import JsonObject, dtype_text, json_bytes, read_json, write_json
from ...geometry.roi import Roi, Shape
from .description_fields import CONVERTERS, SCHEMA_NAME, Problem, as_version, convert, cross_check, report

_SCHEMA_KEYS = ("_schema_name", "_schema_version")


@dataclass(frozen=True, kw_only=True)
class FilesetDescription:
    """What a fileset is: its shape and dtype, how it is cut into blocks, and how they are named.

    Everything is checked when it is made, so a description that exists is sound.

    Parameters
    ----------
    name : str, optional
        A label.
    format : str
        ``"hdf5"``.
    axes : str
        One letter per axis, in the order of every shape and roi.
    shape : tuple of int
        Voxels on disk, per axis (not of the view).
    dtype : numpy.dtype
        Anything that names one is accepted, ``"numpy.uint8"`` for instance.
    block_shape : tuple of int
        Voxels per block; may exceed `shape`.
    block_file_name_format : str
        File name with ``{roiString}`` and the path inside the file: ``"b-{roiString}.h5/volume/data"``.
    dataset_root_dir : str
        The directory of the blocks, absolute or relative to the description file.
    drange : pair of numbers, optional
        Lowest and highest value; noted in each block file.
    chunks : tuple of int, optional
        HDF5 chunk shape, clipped to each block. None: contiguous, or chosen by h5py if compressed.
    compression, compression_opts : str, int, optional
        As h5py takes them.
    view_origin, view_shape : tuple of int, optional
        The part of `shape` that is seen, in voxels. None: from the start, to the end.
    hash_id : str, optional
        Free for those who use the fileset.
    sub_block_shape : tuple of int, optional
        A hint for the size of requests; storage does not use it.
    schema_version : float
        1.0 or 1.1.
    key_order : tuple of str
        The order in which the keys stood in the file that this was read from.

    Raises
    ------
    JobError
        Naming every field that is wrong, and why.
    """

    name: str | None = None
    format: str = "hdf5"
    axes: str
    shape: Shape
    dtype: np.dtype
    block_shape: Shape
    block_file_name_format: str
    dataset_root_dir: str = "."
    drange: tuple[float, float] | None = None
    chunks: Shape | None = None
    compression: str | None = None
    compression_opts: int | None = None
    view_origin: Shape | None = None
    view_shape: Shape | None = None
    hash_id: str | None = None
    sub_block_shape: Shape | None = None
    schema_version: float = 1.1
    key_order: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        raw = {item.name: getattr(self, item.name) for item in fields(self)}
        values, problems = _checked(raw)
        if problems:
            raise report("fileset description", problems)
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def origin(self) -> Shape:
        """Where the view starts, in absolute voxels."""
        return self.view_origin or (0,) * len(self.shape)

    @property
    def view(self) -> Roi:
        """The part of `shape` that is seen, in absolute voxels."""
        extent = self.view_shape or tuple(n - o for n, o in zip(self.shape, self.origin, strict=True))
        return Roi(self.origin, tuple(o + n for o, n in zip(self.origin, extent, strict=True)))

    def with_view_filled_in(self) -> FilesetDescription:
        """The same description with `view_origin` and `view_shape` said outright."""
        return replace(self, view_origin=self.origin, view_shape=self.view.shape)


def _checked(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    values, problems = convert(raw)
    try:
        values["schema_version"] = as_version(raw.get("schema_version"))
    except JobError as error:
        problems.append(("_schema_version", str(error)))
    return values, problems or cross_check(values)


def read_description(path: str | os.PathLike[str]) -> FilesetDescription:
    """Read and check a description file.

    Unknown keys are skipped, also repeated ones: people use them as comments. Values may be
    texts of small expressions; see `blockmill.shared.expressions`.

    Raises
    ------
    JobError
        Naming the file and each field that is wrong; also if the file is missing or no JSON.
    """
    where = os.fspath(path)
    return parse_description(read_json(where), where)


def parse_description(document: JsonObject, where: str) -> FilesetDescription:
    """The description in a JSON object; see `read_description`."""
    raw, problems = _known_fields(document)
    if not problems:
        values, problems = _checked(raw)
        if not problems:
            return FilesetDescription(**values, key_order=raw["key_order"])
    raise report(where, problems)


def _known_fields(document: JsonObject) -> tuple[dict[str, Any], list[Problem]]:
    known: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in document:
        name = key.replace(" ", "_")
        if name not in CONVERTERS and name not in _SCHEMA_KEYS:
            continue
        if name in known:
            problems.append((name, "stands twice; keep one of them"))
        known[name] = value
    if known.get("_schema_name") != SCHEMA_NAME:
        problems.append(("_schema_name", f"is {known.get('_schema_name')!r}, expected {SCHEMA_NAME!r}"))
    return {**known, "schema_version": known.get("_schema_version"), "key_order": tuple(known)}, problems


def format_description(description: FilesetDescription) -> bytes:
    """The JSON text of a description, in the order of the file it came from, null for what is unset."""
    return json_bytes(plain_description(description))


def plain_description(description: FilesetDescription) -> dict[str, Any]:
    """A description as plain values for JSON, as `format_description` orders them."""
    values: dict[str, Any] = {key: getattr(description, key) for key in CONVERTERS}
    values["dtype"] = dtype_text(description.dtype)
    values["_schema_name"] = SCHEMA_NAME
    values["_schema_version"] = description.schema_version
    order = dict.fromkeys((*description.key_order, *_SCHEMA_KEYS, *CONVERTERS))
    return {key: values[key] for key in order if key in values}


def write_description(
    path: str | os.PathLike[str], description: FilesetDescription, *, overwrite: bool = True
) -> None:
    """Write a description file in one step.

    Parameters
    ----------
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    FileExistsError
        If `overwrite` is off and the file exists.
    """
    write_json(path, plain_description(description), overwrite=overwrite)
