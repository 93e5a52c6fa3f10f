"""The description of a blockwise fileset: a JSON file beside the directory of its blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from ...errors import JobError
from ...files.description import Description
from ...files.field_kinds import (
    Dtype,
    Extents,
    Numbers,
    Option,
    Range,
    Switch,
    Text,
    Texts,
    replacement_fields,
)
from ...files.json_file import json_bytes
from ...files.schema import Problem, shown
from ...geometry.roi import Roi, Shape
from ..base.info import Meaning
from .layout import Naming

SCHEMA_NAME = "blockwise-fileset-description"
MAX_NAME_WIDTH = 200  # of a format's {roiString:>50}; a file name holds 255 bytes
_EXTENTS = ("shape", "chunks", "block_shape", "view_origin", "view_shape", "sub_block_shape")
_PER_AXIS = (*_EXTENTS, "voxel_size", "units", "position")


@dataclass(frozen=True, kw_only=True)
class FilesetDescription(Description):
    """The properties of a fileset: its shape and dtype, its blocks, and their names.

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
    drange : pair of numbers, optional
        Lowest and highest value; noted in each block file.
    chunks : tuple of int, optional
        HDF5 chunk shape, clipped to each block. None: contiguous, or chosen by h5py if compressed.
    compression, compression_opts : str, int, optional
        As h5py takes them.
    block_shape : tuple of int
        Voxels per block; may exceed `shape`.
    view_origin, view_shape : tuple of int, optional
        The part of `shape` that is seen, in voxels. None: from the start, to the end.
    block_file_name_format : str
        File name with ``{roiString}`` and the path inside the file: ``"b-{roiString}.h5/volume/data"``.
    dataset_root_dir : str
        The directory of the blocks, absolute or relative to the description file.
    hash_id : str, optional
        Free for those who use the fileset.
    sub_block_shape : tuple of int, optional
        A hint for the size of requests; storage does not use it.
    voxel_size : tuple of float, optional
        Extent of a voxel per axis, in `units`; 0 where it is unknown.
    units : tuple of str, optional
        Per axis; empty where it is unknown.
    position : tuple of float, optional
        Of the first voxel of `shape`, per axis, in `units`.
    axes_guessed : bool
        True if nobody has said what the axes are, and `axes` is a guess.
    schema_version : float
        1.0 or 1.1.
    key_order : tuple of str
        The order in which the keys stood in the file that this was read from.

    Raises
    ------
    JobError
        Naming every field that is wrong, and why.
    """

    schema_name: ClassVar[str] = SCHEMA_NAME
    versions: ClassVar[tuple[float, ...]] = (1.0, 1.1)
    label: ClassVar[str] = "fileset description"
    only_if_set: ClassVar[frozenset[str]] = frozenset({"voxel_size", "units", "position", "axes_guessed"})
    absent: ClassVar[Mapping[str, str]] = {
        "format": "is missing",
        "dtype": 'is missing; say for example "uint8" (old files without it were written as "float32")',
    }

    # In the order in which the original writes fields that a file leaves out.
    name: Text | None = None
    format: Text = "hdf5"
    axes: Text
    shape: Extents
    dtype: Dtype
    drange: Range | None = None
    chunks: Extents | None = None
    compression: Text | None = None
    compression_opts: Option | None = None
    block_shape: Extents
    view_origin: Extents | None = None
    view_shape: Extents | None = None
    block_file_name_format: Text
    dataset_root_dir: Text = "."
    hash_id: Text | None = None
    sub_block_shape: Extents | None = None
    voxel_size: Numbers | None = None
    units: Texts | None = None
    position: Numbers | None = None
    axes_guessed: Switch = False
    schema_version: float = 1.1

    @property
    def origin(self) -> Shape:
        """First corner of the view, in absolute voxels."""
        return self.view_origin or (0,) * len(self.shape)

    @property
    def view(self) -> Roi:
        """The part of `shape` that is seen, in absolute voxels."""
        extent = self.view_shape or tuple(n - o for n, o in zip(self.shape, self.origin, strict=True))
        return Roi(self.origin, tuple(o + n for o, n in zip(self.origin, extent, strict=True)))

    @property
    def meaning(self) -> Meaning:
        """What the voxels of the view mean."""
        return Meaning(
            axes=self.axes,
            axes_from="guess" if self.axes_guessed else "file",
            voxel_size=self.voxel_size,
            units=self.units,
            origin=self.position,
            drange=self.drange,
        ).of_part(self.origin)

    def with_view_filled_in(self) -> FilesetDescription:
        """The same description with `view_origin` and `view_shape` written out."""
        return replace(self, view_origin=self.origin, view_shape=self.view.shape)

    def _mistakes(self) -> Iterable[Problem]:
        each = [(field, extent) for field in _PER_AXIS if (extent := getattr(self, field)) is not None]
        yield from self._wrong_texts()
        extents = [(field, given) for field, given in each if field in _EXTENTS]
        yield from self._wrong_lengths(each) or self._wrong_extents(extents) or self._wrong_view()

    def _wrong_texts(self) -> Iterable[Problem]:
        if self.format != "hdf5":
            yield "format", f'is {shown(self.format)}, but only "hdf5" is known'
        if not self.axes.isalnum() or len(set(self.axes)) != len(self.axes):
            yield "axes", f"is {shown(self.axes)}; expected one letter per axis, each once"
        if self.compression_opts is not None and self.compression is None:
            yield "compression_opts", "is given, but compression is not"
        if self.drange is not None and not self.drange[0] <= self.drange[1]:
            low, high = self.drange
            yield "drange", f"has its lowest value {low} above its highest {high}"
        try:
            _check_file_name(self.block_file_name_format)
            Naming("/", self.axes, self.block_file_name_format).split((0,), (1,))
        except (JobError, ValueError) as error:
            yield "block_file_name_format", str(error)

    def _wrong_lengths(self, each: Iterable[tuple[str, tuple[object, ...]]]) -> list[Problem]:
        axes = self.axes
        return [
            (field, f"has {len(extent)} numbers, but axes {shown(axes)} has {len(axes)} letters")
            for field, extent in each
            if len(extent) != len(axes)
        ]

    def _wrong_extents(self, extents: Iterable[tuple[str, Shape]]) -> list[Problem]:
        return [
            (field, f"is {list(extent)}; each number must be at least {least}")
            for field, extent in extents
            for least in [0 if field == "view_origin" else 1]
            if any(n < least for n in extent)
        ]

    def _wrong_view(self) -> Iterable[Problem]:
        shape, block, origin = self.shape, self.block_shape, self.origin
        view = self.view_shape or tuple(n - o for n, o in zip(shape, origin, strict=True))
        if any(o % b for o, b in zip(origin, block, strict=True)):
            yield (
                "view_origin",
                f"is {list(origin)}; each number must be a multiple of block_shape {list(block)}",
            )
        if any(o >= n for o, n in zip(origin, shape, strict=True)):
            yield "view_origin", f"is {list(origin)}, which lies outside the shape {list(shape)}"
            return
        if any(o + v > n for o, v, n in zip(origin, view, shape, strict=True)):
            yield (
                "view_shape",
                f"is {list(view)}, which with view_origin {list(origin)} leaves the shape {list(shape)}",
            )
        sub = self.sub_block_shape or block
        if any(b % s and b < v for s, b, v in zip(sub, block, view, strict=True)):
            where = "where a block is less than the view"
            yield "sub_block_shape", f"is {list(sub)}; it must divide block_shape {list(block)} {where}"


def _check_file_name(text: str) -> None:
    fields = replacement_fields(text)
    if "roiString" not in [name for name, _, _ in fields]:
        raise JobError("lacks {roiString}, which tells the block files apart")
    for name, spec, conversion in fields:
        if name != "roiString" or conversion is not None or "{" in spec:
            raise JobError(f"holds {{{name}}}; only {{roiString}} is known")
        digits = "".join(c if c.isdigit() else " " for c in spec).split()
        if any(len(n) > 4 or int(n) > MAX_NAME_WIDTH for n in digits):
            raise JobError(f"pads {{roiString}} to more than {MAX_NAME_WIDTH} characters")


def read_description(path: str | os.PathLike[str]) -> FilesetDescription:
    """Read and check a description file.

    Unknown keys are skipped, also repeated ones: people use them as comments. Values may be
    texts of small expressions; see `blockmill.shared.expressions`.

    Raises
    ------
    JobError
        Naming the file and each field that is wrong; also if the file is missing or no JSON.
    """
    return FilesetDescription.read(path)


def format_description(description: FilesetDescription) -> bytes:
    """The JSON text of a description, in the order of the file it came from, null for what is unset."""
    return json_bytes(description.plain())


def write_description(
    path: str | os.PathLike[str], description: FilesetDescription, *, overwrite: bool = True
) -> None:
    """Write a description file in one step.

    Parameters
    ----------
    path : str or path
    description : FilesetDescription
    overwrite : bool
        Replace a file that exists, instead of raising FileExistsError.
    """
    description.write(path, overwrite=overwrite)
