"""Cut-outs in their forms on the wire: an HDF5 file, a ``.npy`` file, or the bare voxels.

Bare voxels stand in C order. Their headers describe them:
``X-Voxel-Dtype: <u2`` and ``X-Voxel-Shape: 4,5,6``.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Literal, NamedTuple

import h5py
import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ...geometry.roi import Roi, Shape
from ..blockwise.fast.contiguous import template_of_new
from ..hdf5.layout import DatasetLayout, new_image

BodyFormat = Literal["hdf5", "npy", "raw"]
CONTENT_TYPES: dict[BodyFormat, str] = {
    "hdf5": "application/x-hdf5",
    "npy": "application/x-npy",
    "raw": "application/octet-stream",
}
DTYPE_HEADER, SHAPE_HEADER = "X-Voxel-Dtype", "X-Voxel-Shape"
_NO_VOXELS = ("text/", "application/json", "application/xml", "application/xhtml", "image/")
_ROOM_FACTOR, _ROOM_BYTES = 4, 16 << 20  # chunks at the edge are stored whole; headers


class CutoutSpec(NamedTuple):
    """The properties of the cut-out that a request asks for.

    Attributes
    ----------
    kind : {"hdf5", "npy", "raw"}
        The form of an answer whose headers name none.
    dataset : str
        Path in an HDF5 file.
    """

    shape: Shape
    dtype: np.dtype
    kind: BodyFormat
    dataset: str

    @property
    def accept(self) -> str:
        """The header ``Accept`` for voxels: what is read with the least effort first, then all others."""
        return (
            f"{CONTENT_TYPES['npy']}, {CONTENT_TYPES['raw']};q=0.9, {CONTENT_TYPES['hdf5']};q=0.8, */*;q=0.1"
        )

    @property
    def limit_bytes(self) -> int:
        """Upper bound on the length of an answer with such voxels."""
        return math.prod(self.shape) * self.dtype.itemsize * _ROOM_FACTOR + _ROOM_BYTES


class WrongCutout(Exception):
    """The bytes are no cut-out of the shape and dtype that were asked for."""


def kind_of(headers: Mapping[str, str], default: BodyFormat) -> BodyFormat:
    """The form of an answer, by its headers.

    Parameters
    ----------
    headers : mapping
    default : {"hdf5", "npy", "raw"}
        The form if the headers name none.

    Returns
    -------
    str

    Raises
    ------
    WrongCutout
        If it is a text, such as a page for people about an error.
    """
    content = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content.startswith(_NO_VOXELS):
        raise WrongCutout(f"the answer is of type {content}, which holds no voxels")
    if "hdf" in content:
        return "hdf5"
    if "npy" in content or "numpy" in content:
        return "npy"
    return "raw" if DTYPE_HEADER in headers else default


def check(file: BinaryIO, headers: Mapping[str, str], spec: CutoutSpec) -> None:
    """Check that a file is the cut-out that was asked for, without reading its voxels.

    Parameters
    ----------
    file : binary file
    headers : mapping
        Of the answer.
    spec : CutoutSpec

    Raises
    ------
    WrongCutout
        With a description of the file.
    """
    kind = kind_of(headers, spec.kind)
    with _wrong_cutout_errors(kind):
        if kind == "hdf5":
            with h5py.File(file, "r") as hdf5:
                _dataset(hdf5, spec)
        else:
            _header(kind, file, headers, spec)


def read(file: BinaryIO, headers: Mapping[str, str], spec: CutoutSpec) -> NDArray:
    """The voxels of a file, after `check`.

    Parameters
    ----------
    file : binary file
    headers : mapping
        Of the answer.
    spec : CutoutSpec

    Returns
    -------
    ndarray
        In C order and the dtype that was asked for.

    Raises
    ------
    WrongCutout
        With a description of the file, or the reason why it can't be read.
    """
    kind = kind_of(headers, spec.kind)
    with _wrong_cutout_errors(kind):
        if kind == "hdf5":
            with h5py.File(file, "r") as hdf5:
                return np.asarray(_dataset(hdf5, spec)[...])
        offset, order = _header(kind, file, headers, spec)
        voxels = np.empty(spec.shape[:: -1 if order == "F" else 1], spec.dtype)
        file.seek(offset)
        if _read_into(file, voxels) != voxels.nbytes:
            raise WrongCutout("it ends too early")
        return voxels if order == "C" else np.ascontiguousarray(voxels.T)


def _header(
    kind: BodyFormat, file: BinaryIO, headers: Mapping[str, str], spec: CutoutSpec
) -> tuple[int, str]:
    """Offset of the voxels, and their order; all facts about them in the file are checked."""
    if kind == "npy":
        return _npy_header(file, spec)
    _check_raw(file, headers, spec)
    return 0, "C"


def _read_into(file: BinaryIO, voxels: NDArray) -> int:
    target = memoryview(voxels.reshape(-1).view("u1").data)
    offset = 0
    while count := file.readinto(target[offset:]):  # pyright: ignore[reportAttributeAccessIssue]
        offset += count
    return offset


@contextlib.contextmanager
def _wrong_cutout_errors(kind: BodyFormat) -> Iterator[None]:
    """Turn errors of HDF5, numpy and the system about a damaged file into WrongCutout."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, TypeError) as error:
        raise WrongCutout(f"it is no whole {kind} cut-out: {error}") from error


def _dataset(file: h5py.File, spec: CutoutSpec) -> h5py.Dataset:
    """The dataset, if the file itself holds it: a link or a source elsewhere would read files of ours."""
    item, name = file, spec.dataset
    for component in name.strip("/").split("/"):
        if not isinstance(item, h5py.Group) or component not in item:
            raise WrongCutout(f"the HDF5 file has no dataset {name}")
        if isinstance(item.get(component, getlink=True), h5py.ExternalLink):
            raise WrongCutout(f"{name} in the HDF5 file is a link to another file")
        item = item[component]
    if not isinstance(item, h5py.Dataset):
        raise WrongCutout(f"{name} in the HDF5 file is no dataset")
    if item.external or item.is_virtual:
        raise WrongCutout(f"{name} in the HDF5 file has its voxels in other files")
    _compare(item.shape, item.dtype, spec)
    return item


def _npy_header(file: BinaryIO, spec: CutoutSpec) -> tuple[int, str]:
    """Offset of the voxels of a .npy file, and their order."""
    file.seek(0)
    version = npy_format.read_magic(file)
    read_header = {
        (1, 0): npy_format.read_array_header_1_0,
        (2, 0): npy_format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise WrongCutout(f"it is a .npy file of version {version}")
    shape, fortran, dtype = read_header(file)
    offset = file.tell()
    _compare(tuple(shape), dtype, spec)
    _check_size(file, offset, spec)
    return offset, "F" if fortran else "C"


def _check_raw(file: BinaryIO, headers: Mapping[str, str], spec: CutoutSpec) -> None:
    if SHAPE_HEADER in headers:
        shape = tuple(int(n) for n in headers[SHAPE_HEADER].split(","))
        _compare(shape, np.dtype(headers.get(DTYPE_HEADER, spec.dtype.str)), spec)
    _check_size(file, 0, spec)


def _compare(shape: Shape | None, dtype: np.dtype, spec: CutoutSpec) -> None:
    if shape != spec.shape:
        raise WrongCutout(f"it has shape {list(shape or ())}, asked for was {list(spec.shape)}")
    if dtype != spec.dtype:
        raise WrongCutout(f"it has dtype {dtype}, the description says {spec.dtype}")


def _check_size(file: BinaryIO, offset: int, spec: CutoutSpec) -> None:
    expected = offset + math.prod(spec.shape) * spec.dtype.itemsize
    size_bytes = file.seek(0, os.SEEK_END)
    if size_bytes != expected:
        raise WrongCutout(f"it has {size_bytes} bytes, such voxels have {expected}")


def encode(
    kind: BodyFormat, voxels: NDArray, axes: str, dataset: str
) -> tuple[bytes | memoryview, dict[str, str]]:
    """The body and the headers of a cut-out; the same voxels always give the same bytes.

    Parameters
    ----------
    kind : {"hdf5", "npy", "raw"}
    voxels : ndarray
        In C order; the body may be a view of it.
    axes : str
        One letter per axis.
    dataset : str
        Path in an HDF5 file.

    Returns
    -------
    bytes-like, dict
    """
    headers = {
        "Content-Type": CONTENT_TYPES[kind],
        DTYPE_HEADER: voxels.dtype.str,
        SHAPE_HEADER: ",".join(map(str, voxels.shape)),
    }
    if kind == "raw":
        return memoryview(voxels.reshape(-1).view("u1").data), headers
    if kind == "npy":
        buffer = io.BytesIO()
        npy_format.write_array(buffer, voxels, version=(1, 0), allow_pickle=False)
        return buffer.getbuffer(), headers
    layout, internal = DatasetLayout(voxels.dtype, axes), dataset.strip("/")
    template = template_of_new(layout, internal, voxels.shape)
    if template is not None:
        return b"".join((template.head, voxels.data, template.tail)), headers
    return new_image(layout, internal, voxels.shape, Roi.from_shape(voxels.shape), voxels), headers
