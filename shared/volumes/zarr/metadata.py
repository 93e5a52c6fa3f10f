"""The metadata of a Zarr v3 array, ``zarr.json``, read and written without a library."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import JobError, StorageError
from ...files.refusals import refusal_of
from ...geometry.roi import Shape
from ..base.checks import checked_axes
from ..base.info import Meaning

NAME = "zarr.json"
_DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayMetadata:
    """What a program must know of an array before it reads a chunk.

    Attributes
    ----------
    shape, chunks : tuple of int
        Voxels per axis, of the array and of a chunk; of one in shards, the shard.
    dtype : numpy.dtype
    names : tuple of str or None
        Of the axes; empty if the file has none.
    """

    shape: Shape
    chunks: Shape
    dtype: np.dtype
    names: tuple[str | None, ...]

    @property
    def meaning(self) -> Meaning:
        """The axes: the names, if each is a letter of its own; else a guess."""
        names = [name or "" for name in self.names]
        if len(names) == len(self.shape) and all(len(n) == 1 and n.isalnum() for n in names):
            axes = "".join(names)
            if len(set(axes)) == len(axes):
                return Meaning(axes=axes)
        return Meaning(axes=checked_axes(None, len(self.shape), "the array"), axes_from="guess")


def read_document(folder: str) -> dict[str, Any] | None:
    """The content of ``zarr.json`` in a folder; None if there is none, or it is no JSON object.

    Raises
    ------
    StorageError
        If it can't be read.
    """
    path = os.path.join(folder, NAME)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read(_MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise StorageError(refusal_of("read", path, error)) from error
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def read_metadata(folder: str) -> ArrayMetadata:
    """Read the metadata of the array in a folder.

    Raises
    ------
    JobError
        If there is no array, or one of another version or of elements that are no numbers.
    StorageError
        If it can't be read.
    """
    document = read_document(folder)
    if document is None or document.get("zarr_format") != 3 or document.get("node_type") != "array":
        raise JobError(f"{folder} is no Zarr v3 array: it has no {NAME} that says so")
    try:
        grid = document["chunk_grid"]
        if grid["name"] != "regular":
            raise JobError(f"{folder}: the chunks are a {grid['name']!r} grid; only regular ones are read")
        shape = tuple(map(_extent, document["shape"]))
        chunks = tuple(map(_extent, grid["configuration"]["chunk_shape"]))
        kind, names = document["data_type"], tuple(document.get("dimension_names") or ())
    except (KeyError, TypeError, ValueError) as error:
        raise JobError(f"{folder}/{NAME} is not what an array has: {error!r}") from error
    if kind not in _DTYPES:
        raise JobError(f"{folder} has data_type {kind!r}; only numbers and bools are supported")
    if not shape or 0 in shape or len(chunks) != len(shape) or 0 in chunks:
        raise JobError(f"{folder} has shape {list(shape)} in chunks of {list(chunks)}, which holds no voxels")
    return ArrayMetadata(shape=shape, chunks=chunks, dtype=np.dtype(kind), names=names)


def _extent(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no extent")
    return value


def document_of(
    metadata: ArrayMetadata, compression: str = "zstd", level: int | None = None
) -> dict[str, Any]:
    """The content of ``zarr.json`` for a new array.

    Parameters
    ----------
    metadata : ArrayMetadata
    compression : {"zstd", "blosc", "gzip", "none"}
    level : int, optional

    Returns
    -------
    dict
    """
    kind = metadata.dtype
    fill: Any = False if kind.kind == "b" else [0, 0] if kind.kind == "c" else 0
    codecs = [{"name": "bytes", "configuration": {"endian": "little"} if kind.itemsize > 1 else {}}]
    codecs += _compressor(compression, level, kind.itemsize)
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(metadata.shape),
        "data_type": kind.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(metadata.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": codecs,
        **({"dimension_names": list(metadata.names)} if metadata.names else {}),
        "attributes": {},
    }


def _compressor(compression: str, level: int | None, itemsize: int) -> list[dict[str, Any]]:
    if compression == "zstd":
        return [{"name": "zstd", "configuration": {"level": level or 1, "checksum": False}}]
    if compression == "gzip":
        return [{"name": "gzip", "configuration": {"level": 5 if level is None else level}}]
    if compression == "none":
        return []
    shuffle = "shuffle" if itemsize > 1 else "noshuffle"
    configuration = {
        "cname": "lz4", "clevel": 5 if level is None else level, "shuffle": shuffle,
        "typesize": itemsize, "blocksize": 0,
    }  # fmt: skip
    return [{"name": "blosc", "configuration": configuration}]
