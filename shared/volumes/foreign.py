"""Formats of others that no volume reads yet: known by what they hold, told with the way to convert them."""

from __future__ import annotations

import glob
import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_HEAD_BYTES = 512
_RAW_ENDINGS = (".raw", ".bin", ".dat", ".vol")
_SLICES = {(".tif", ".tiff"): "TIFF", (".png", ".jpg", ".jpeg", ".bmp"): "PNG"}
_ENOUGH_ENTRIES = 10_000


class Foreign(NamedTuple):
    """A format of others.

    Attributes
    ----------
    name : str
        With its article: ``a TIFF file``.
    package : str
        The package that reads it; empty: numpy alone does.
    imports, array : str
        The line that imports what is needed, and the expression that reads the array.
    note : str
        A word about the lines, or empty.
    """

    name: str
    package: str
    imports: str
    array: str
    note: str = ""

    def told(self, path: str) -> str:
        """The error for an address: what the file is, and two lines of Python that make a volume of it."""
        target = _target(path)
        quoted = f"'{self.package}'" if "<" in self.package else self.package
        install = f" (pip install {quoted})" if quoted else ""
        return (
            f"{path} is {self.name}, which blockmill can't read itself. These lines make {target} of it"
            f"{self.note}{install}:\n    import {self.imports}\n    numpy.save({target!r}, {self.array})"
        )


def foreign_format(path: str) -> Foreign | None:
    """What lies at a path, if it is of a format that is known and that no volume reads.

    Parameters
    ----------
    path : str
        A file, a folder, or a pattern such as ``slices/*.tif``.

    Returns
    -------
    Foreign or None
        None also if it can't be read.
    """
    try:
        if os.path.isdir(path):  # noqa: PTH112
            return _in_folder(path.rstrip("/"))
        if not os.path.lexists(path) and glob.has_magic(path):
            found = sorted(glob.glob(path))  # noqa: PTH207
            return _slices(path, found) if found else None
        if os.path.lexists(path) and not os.path.isfile(path):  # noqa: PTH113
            return None  # to open a pipe would wait for ever
        with open(path, "rb") as file:  # noqa: PTH123
            return _by_content(path, file.read(_HEAD_BYTES))
    except (OSError, EOFError, zipfile.BadZipFile):
        return None


def _target(path: str) -> str:
    """A name for the copy, which no file has yet."""
    base = path.rstrip("/").split("/*")[0].removesuffix(".gz")
    names = (f"{Path(base).with_suffix('')}.npy", f"{base}.npy", *(f"{base}-{n}.npy" for n in range(2, 100)))
    return next((name for name in names if not os.path.lexists(name)), names[-1])


def _by_content(path: str, head: bytes) -> Foreign | None:
    if path.endswith(".gz") and head[:2] == b"\x1f\x8b":
        with gzip.open(path) as unpacked:
            head = unpacked.read(_HEAD_BYTES)
    if head.startswith(b"\x93NUMPY"):
        return None
    for fits, make in _FILES:
        if fits(head):
            return make(path)
    return _raw(path) if path.lower().endswith(_RAW_ENDINGS) else None


def _is_npz(head: bytes) -> bool:
    return head[:4] == b"PK\3\4" and b".npy" in head


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def _tiff(path: str) -> Foreign:
    return Foreign("a TIFF file", "tifffile", "numpy, tifffile", f"tifffile.imread({path!r})")


def _png(path: str) -> Foreign:
    return Foreign("an image of one slice", "imageio", "numpy, imageio.v3", f"imageio.v3.imread({path!r})")


def _nifti(path: str) -> Foreign:
    array = f"numpy.asarray(nibabel.load({path!r}).dataobj).T"
    return Foreign("a NIfTI file", "nibabel", "numpy, nibabel", array, " (axes z, y, x)")


def _mrc(path: str) -> Foreign:
    return Foreign("an MRC file", "mrcfile", "numpy, mrcfile", f"mrcfile.read({path!r})")


def _npz(path: str) -> Foreign:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    has = f"an archive of numpy ({', '.join(names[:10])})"
    return Foreign(has, "", "numpy", f"numpy.load({path!r})[{names[0]!r}]")


def _raw(path: str) -> Foreign:
    array = f"numpy.memmap({path!r}, 'uint16', 'r', shape=(100, 512, 512))"
    name = "a file of bare voxels, by its ending"
    return Foreign(name, "", "numpy", array, ", with its dtype and its shape in place of these")


_FILES: tuple[tuple[Callable[[bytes], bool], Callable[[str], Foreign]], ...] = (
    (lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    (lambda head: head[:8] == b"\x89PNG\r\n\x1a\n" or head[:3] == b"\xff\xd8\xff", _png),
    (_is_nifti, _nifti),
    (lambda head: head[208:212] == b"MAP ", _mrc),
    (_is_npz, _npz),
)


def _in_folder(path: str) -> Foreign | None:
    names = set()
    with os.scandir(path) as entries:
        for entry, _ in zip(entries, range(_ENOUGH_ENTRIES), strict=False):
            names.add(entry.name)
    if names & {".zarray", ".zgroup"}:
        return _zarr(path, names)
    if "attributes.json" in names:
        array = f"zarr.open(zarr.N5Store({path!r}), mode='r')[:]"
        return Foreign("an N5 container", "zarr<3", "numpy, zarr", array, " if it is an array's folder")
    return _slices(path, sorted(f"{path}/{name}" for name in names))


def _zarr(path: str, names: set[str]) -> Foreign:
    """A Zarr array, or a group, of which the first array is taken."""
    inside = "" if _is_zarr_array(Path(path)) else _first_array(path, names)
    return Foreign(
        "a Zarr container of version 2", "zarr", "numpy, zarr", f"zarr.open({path + inside!r}, mode='r')[:]"
    )


def _first_array(path: str, names: set[str]) -> str:
    return next((f"/{name}" for name in sorted(names) if _is_zarr_array(Path(path, name))), "/0")


def _is_zarr_array(folder: Path) -> bool:
    return (folder / ".zarray").is_file()


def _slices(path: str, files: list[str]) -> Foreign | None:
    """A folder, or a pattern, of images that are the slices of a volume."""
    for endings, kind in _SLICES.items():
        images = [file for file in files if file.lower().endswith(endings)]
        if images:
            pattern = path if glob.has_magic(path) else f"{path}/*{Path(images[0]).suffix}"
            return _stack(pattern, kind)
    return None


def _stack(pattern: str, kind: str) -> Foreign:
    name = "a folder of images, the slices of a volume"
    if kind == "TIFF":
        return Foreign(name, "tifffile", "numpy, tifffile", f"tifffile.imread({pattern!r})")
    array = f"numpy.stack([imageio.v3.imread(name) for name in sorted(glob.glob({pattern!r}))])"
    return Foreign(name, "imageio", "glob, numpy, imageio.v3", array)
