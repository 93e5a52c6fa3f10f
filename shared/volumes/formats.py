"""Addresses: the place of a volume, as a person writes it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import JobError, StorageError
from ..files.refusals import refusal_of, storage_errors
from ..geometry.roi import Shape
from .base.array_volume import ArrayVolume
from .base.suffixes import HDF5_EXTENSIONS, cut_at_file, first_file, inner_path
from .blockwise.description import SCHEMA_NAME
from .blockwise.fileset import BlockwiseFileset
from .foreign import foreign_format
from .hdf5.contents import dataset_names, is_hdf5
from .hdf5.live import LiveHdf5Volume
from .hdf5.volume import Hdf5Volume
from .npy import NpyVolume
from .restful.description import FILESET_SCHEMA, VOLUME_SCHEMA, schema_name

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
VolumeKind = Literal["fileset", "hdf5", "npy"]

_SUPPORTED = (
    "supported are 'x.json' (a blockwise fileset, or a volume of a web server), "
    "'f.h5/volume/data' (a dataset in an HDF5 file; a new one ends in .h5, .hdf5 or .ilp) and 'a.npy'"
)


@dataclass(frozen=True, slots=True)
class Address:
    """The place of a volume.

    Attributes
    ----------
    kind : {"fileset", "hdf5", "npy"}
        The first for every description, also that of a volume of a web server.
    file : str
        Path of the file on disk.
    internal : str
        Path of the dataset inside an HDF5 file, without a leading slash; else empty.
    """

    kind: VolumeKind
    file: str
    internal: str = ""

    def __str__(self) -> str:
        return f"{self.file}/{self.internal}" if self.internal else self.file


def split_address(text: str, base_dir: str | os.PathLike[str] | None = None) -> Address:
    """Take an address apart by its ending, as that of an output; inputs go through `split_input`.

    Parameters
    ----------
    text : str
        ``x.json``, ``f.h5/volume/data``, ``a.npy``. Only whole path components count, so a
        directory may be called ``x.h5``.
    base_dir : str or path, optional
        Folder from which relative addresses start. Default: they stay relative.

    Returns
    -------
    Address

    Raises
    ------
    JobError
        If the address is of no supported kind, or lacks the path of the dataset in its file.
    """
    path = _path_of(text, base_dir)
    if (cut := cut_at_file(path)) is not None:
        return _dataset_at(text, *cut)
    if path.endswith(".json"):
        return Address("fileset", path)
    if path.lower().endswith(".npy"):
        return Address("npy", path)
    raise JobError(f"{text!r} is no address of a known kind; {_SUPPORTED}")


def split_input(text: str, base_dir: str | os.PathLike[str] | None = None) -> Address:
    """Take the address of a volume apart that is there: what has the signature of HDF5 is HDF5.

    So ``f.ims/DataSet/Data`` is an address, too, where ``f.ims`` is such a file.

    Parameters
    ----------
    text, base_dir
        See `split_address`.

    Returns
    -------
    Address

    Raises
    ------
    JobError
        As of `split_address`.
    StorageError
        If the file can't be read.
    """
    path = _path_of(text, base_dir)
    cut = first_file(path)
    if cut is not None and not _has_known_ending(cut[0]) and _looks_like_hdf5(cut[0]):
        return _dataset_at(text, *cut)
    where = cut[0] if cut is not None else path
    if not _has_known_ending(where) and (foreign := foreign_format(where)) is not None:
        raise JobError(foreign.told(where))
    if cut is None and not path.lower().endswith((".json", ".npy")) and cut_at_file(path) is None:
        with storage_errors("read", path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)  # noqa: PTH116
        there = "is a folder" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
        raise JobError(f"{path} {there}, and {text!r} is no address of a known kind; {_SUPPORTED}")
    return split_address(text, base_dir)


def _looks_like_hdf5(file: str) -> bool:
    """True if a file has the signature; False also if it may not be read, which its opening tells."""
    try:
        return is_hdf5(file)
    except StorageError:
        return False


def _has_known_ending(file: str) -> bool:
    """True if the ending alone tells the kind; others, .npy among them, may be those of HDF5 files."""
    return file.endswith(".json") or file.lower().endswith(HDF5_EXTENSIONS)


def _path_of(text: str, base_dir: str | os.PathLike[str] | None) -> str:
    if isinstance(text, str) and (scheme := _SCHEME.match(text)):
        raise JobError(
            f"{text!r}: {scheme[1]}:// addresses are not supported; {_instead_of(scheme[1].lower())}"
        )
    if not isinstance(text, str) or not text or "\0" in text:
        raise JobError(f"can't use {text!r} as an address; {_SUPPORTED}")
    path = os.path.expanduser(text)  # noqa: PTH111
    return path if base_dir is None else os.path.join(os.fspath(base_dir), path)


def _instead_of(scheme: str) -> str:
    """What to do instead of naming a volume by an address of this scheme."""
    if scheme == "file":
        return "give the path of the file alone"
    if scheme in ("http", "https"):
        return "a volume of a web server is named by its description, a file 'x.json'"
    return "copy the volume to a disk, or mount it, and give the path of the file"


def _dataset_at(text: str, file: str, rest: str) -> Address:
    if not (internal := inner_path(rest)):
        raise JobError(_without_dataset(text, file))
    return Address("hdf5", file, internal)


_openers: dict[str, Callable[[str], ArrayVolume]] = {}


def register_schema(name: str, opener: Callable[[str], ArrayVolume]) -> None:
    """Make `open_volume` open the descriptions of one more schema.

    The schema alone decides; the original tries its classes one after the other, in no order.

    Parameters
    ----------
    name : str
        The ``_schema_name`` in those descriptions.
    opener : callable
        Takes the path of a description and returns a volume for reading. A second registration
        of the same opener is harmless.

    Raises
    ------
    ValueError
        If the schema belongs to another opener already.
    """
    if name in (SCHEMA_NAME, VOLUME_SCHEMA, FILESET_SCHEMA) or _openers.get(name, opener) is not opener:
        raise ValueError(f"descriptions of schema {name!r} are opened by something else already")
    _openers[name] = opener


def _open_described(path: str) -> ArrayVolume:
    """Open the volume of a description; its schema names the kind."""
    schema = schema_name(path)
    if isinstance(schema, str) and schema in _openers:
        return _openers[schema](path)
    if schema not in (VOLUME_SCHEMA, FILESET_SCHEMA):
        return BlockwiseFileset(path)
    # What speaks HTTP is imported where it is needed.
    from .restful.fileset import RESTfulBlockwiseFileset
    from .restful.volume import RESTfulVolume

    return RESTfulVolume(path) if schema == VOLUME_SCHEMA else RESTfulBlockwiseFileset(path)


def _check_file(file: str, text: str) -> None:
    try:
        mode = os.stat(file).st_mode  # noqa: PTH116 - unlike Path.is_file it tells closed folders from missing ones
    except (FileNotFoundError, NotADirectoryError):
        raise JobError(f"{file} does not exist; the address {text!r} names it") from None
    except OSError as error:
        raise StorageError(refusal_of("read", file, error)) from error
    if not stat.S_ISREG(mode):
        raise JobError(f"{file} is no file; the address {text!r} names it")


def _without_dataset(text: str, file: str) -> str:
    hint = "add the path of a dataset in it, as in 'f.h5/volume/data'"
    try:
        names = dataset_names(file)
    except StorageError:
        names = []  # it may not exist yet; the message is about the address
    if names:
        hint += f"; the file has {', '.join(names[:10])}" + (", ..." if len(names) > 10 else "")
    return f"{text!r} names an HDF5 file alone; {hint}"


def open_volume(
    address: str | os.PathLike[str],
    base_dir: str | os.PathLike[str] | None = None,
    *,
    live: bool = False,
    extent: Shape | None = None,
) -> ArrayVolume:
    """Open the volume at an address for reading.

    Parameters
    ----------
    address : str or path
        ``x.json``, a description; ``f.h5/volume/data``, a dataset in an HDF5 file of any name; ``a.npy``.
    base_dir : str or path, optional
        Folder from which relative addresses start. Default: the current one.
    live : bool
        Read an HDF5 file that another program is writing in SWMR mode.
    extent : tuple of int, optional
        With `live`: the voxels per axis that are read; default: those that there are now.

    Returns
    -------
    volume
        Of the class that belongs to the kind of address; indexed like an array, with `read`, `shape`,
        `dtype`, `axes`, `close`.

    Raises
    ------
    JobError
        If there is no such file or dataset, or it is of no supported kind.
    StorageError
        If it is there but can't be read.
    """
    text = os.fspath(address) if isinstance(address, os.PathLike) else address
    place = split_input(text, base_dir)
    _check_file(place.file, text)
    if live and place.kind != "hdf5":
        raise JobError(f"input.live: only HDF5 files can be read while they are written, not {place.file}")
    if place.kind == "fileset":
        return _open_described(place.file)
    if place.kind == "npy":
        return NpyVolume(place.file)
    file, internal = place.file, place.internal
    volume = LiveHdf5Volume(file, internal, extent) if live else Hdf5Volume(file, internal)
    _ = volume.shape  # opens the file now, so that a missing dataset is an error here
    return volume
