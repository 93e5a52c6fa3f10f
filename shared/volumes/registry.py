"""The formats by their names: each module of `formats` with one, and those that others install.

An installed package adds formats by entry points of the group ``blockmill.formats``, from a name to a
subclass of `Format`. One that can't be imported is unavailable, and the others work.
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from ..errors import JobError
from ..files.refusals import storage_errors
from ..geometry.roi import Shape
from ..outside_text import error_text
from .base.array_volume import ArrayVolume
from .base.format import Address, Format
from .base.look import Look
from .foreign import foreign_format

GROUP = "blockmill.formats"
_PACKAGE = f"{__package__}.formats"
_FIRST = ("blockwise", "hdf5", "npy")  # in this order in lists for people, then the others
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


# -- the formats --------------------------------------------------------------------


@cache
def _own() -> tuple[str, ...]:
    """The names of the formats that come with blockmill."""
    names = {module.name for module in pkgutil.iter_modules(import_module(_PACKAGE).__path__)}
    return (*_FIRST, *sorted(names.difference(_FIRST)))


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _own()}


@cache
def _loaded(name: str) -> Format | JobError:
    """The format of a name, or the reason why it is not available."""
    if name in _own():
        module = import_module(f"{_PACKAGE}.{name}")
        return next(kind() for kind in vars(module).values() if _is(kind, name))
    point = _installed()[name]
    try:
        kind = point.load()
    except Exception as error:  # noqa: BLE001 - whatever it raises, the other formats work
        return JobError(f"the format {name} ({point.value}) can't be imported: {error_text(error)}")
    if not _is(kind, name):
        return JobError(f"the format {name} ({point.value}) is no subclass of Format with that name")
    return kind()


def _is(kind: object, name: str) -> bool:
    return isinstance(kind, type) and issubclass(kind, Format) and getattr(kind, "name", None) == name


_described: dict[str, Format] = {}


def formats() -> Iterator[Format]:
    """All formats that are available."""
    for name in (*_own(), *_installed()):
        if isinstance(found := _loaded(name), Format):
            yield found
    yield from _described.values()


def unavailable() -> dict[str, str]:
    """The reason for each installed format that is not available, by its name."""
    return {name: str(found) for name in _installed() if isinstance(found := _loaded(name), JobError)}


def format_named(name: str) -> Format:
    """The format of a name.

    Raises
    ------
    JobError
        If there is none, or it can't be imported.
    """
    if name in _described:
        return _described[name]
    if name not in _own() and name not in _installed():
        raise JobError(f"there is no format {name}; known are {', '.join(one.name for one in formats())}")
    found = _loaded(name)
    if isinstance(found, JobError):
        raise found
    return found


def format_of(address: Address) -> Format:
    """The format of an address."""
    return format_named(address.format)


def load_own() -> None:
    """Import what volumes of the formats that come with blockmill need, and look up the installed ones."""
    _installed()
    for name in _own():
        format_named(name).load()


def load_all() -> None:
    """Import what volumes of all formats need, before a thread or a process gives up the right to read it."""
    for kind in formats():
        kind.load()


def load_libraries() -> None:
    """Import the libraries that have threads, as far as they are installed; see `Format.load_library`."""
    for kind in formats():
        with contextlib.suppress(ImportError):  # told when a volume is opened
            kind.load_library()


# -- addresses ----------------------------------------------------------------------


def split_address(text: str, base_dir: str | os.PathLike[str] | None = None) -> Address:
    """Take an address apart by its spelling, as that of an output; inputs go through `split_input`.

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
        If the address is of no supported format, of two, or lacks the path of the dataset in its file.
    """
    path = _path_of(text, base_dir)
    if (address := _one(text, [kind.parse(path) for kind in formats()])) is None:
        raise JobError(f"{text!r} is no address of a known kind; {_supported()}")
    return address


def split_input(text: str, base_dir: str | os.PathLike[str] | None = None) -> Address:
    """Take the address of a volume apart that is there: what the content says comes before the spelling.

    So ``f.ims/DataSet/Data`` is an address, too, where ``f.ims`` is an HDF5 file.

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
    look = Look(path)
    if (address := _one(text, [kind.recognise(look) for kind in formats()])) is not None:
        return address
    spelled = _one(text, [kind.parse(path) for kind in formats()])
    told = spelled is not None and format_of(spelled).spelling_tells
    if not told and (foreign := foreign_format(look.file)) is not None:
        raise JobError(foreign.told(look.file))
    if spelled is not None:
        return spelled
    if look.cut is None:
        with storage_errors("read", path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)  # noqa: PTH116
        there = "is a folder" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
        raise JobError(f"{path} {there}, and {text!r} is no address of a known kind; {_supported()}")
    raise JobError(f"{text!r} is no address of a known kind; {_supported()}")


def _one(text: str, found: list[Address | None]) -> Address | None:
    """The only address among them; None if there is none."""
    addresses = [address for address in found if address is not None]
    if len(addresses) > 1:
        names = " and ".join(address.format for address in addresses)
        raise JobError(
            f"{text!r} could be of the formats {names}; give it a name that only one of them takes"
        )
    return addresses[0] if addresses else None


def _path_of(text: str, base_dir: str | os.PathLike[str] | None) -> str:
    if isinstance(text, str) and (scheme := _SCHEME.match(text)):
        raise JobError(
            f"{text!r}: {scheme[1]}:// addresses are not supported; {_instead_of(scheme[1].lower())}"
        )
    if not isinstance(text, str) or not text or "\0" in text:
        raise JobError(f"can't use {text!r} as an address; {_supported()}")
    path = os.path.expanduser(text)  # noqa: PTH111
    return path if base_dir is None else os.path.join(os.fspath(base_dir), path)


def _instead_of(scheme: str) -> str:
    """What to do instead of naming a volume by an address of this scheme."""
    if scheme == "file":
        return "give the path of the file alone"
    if scheme in ("http", "https"):
        return "a volume of a web server is named by its description, a file 'x.json'"
    return "copy the volume to a disk, or mount it, and give the path of the file"


def _supported() -> str:
    """What addresses look like, and which formats are installed and not available."""
    *spellings, last = [kind.spelling for kind in formats() if kind.spelling]
    reasons = "".join(f"; {reason}" for reason in unavailable().values())
    return f"supported are {', '.join(spellings)} and {last}{reasons}"


# -- volumes ------------------------------------------------------------------------


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
        ``x.json``, a description; ``f.h5/volume/data``, a dataset in an HDF5 file of any name; ``a.npy``;
        or one of another format that is installed.
    base_dir : str or path, optional
        Folder from which relative addresses start. Default: the current one.
    live : bool
        Read an HDF5 file that another program is writing in SWMR mode.
    extent : tuple of int, optional
        With `live`: the voxels per axis that are read; default: those that there are now.

    Returns
    -------
    volume
        Of the class that belongs to the format; indexed like an array, with `read`, `shape`,
        `dtype`, `axes`, `close`.

    Raises
    ------
    JobError
        If there is no such file or dataset, or it is of no supported format.
    StorageError
        If it is there but can't be read.
    """
    text = os.fspath(address) if isinstance(address, os.PathLike) else address
    return open_at(split_input(text, base_dir), text, live=live, extent=extent)


def open_at(place: Address, text: str, *, live: bool = False, extent: Shape | None = None) -> ArrayVolume:
    """Open the volume at an address that was taken apart before, for reading.

    Parameters
    ----------
    place : Address
    text : str
        The address as it was written.
    live, extent
        As for `open_volume`, as are result and errors.

    Returns
    -------
    volume
    """
    kind = format_of(place)
    kind.check_there(place, text)
    return kind.open_live(place, extent) if live else kind.open(place)


class _DescribedBy(Format):
    """Descriptions of one more schema, which the calling process alone opens."""

    in_workers = False

    def __init__(self, schema: str, opener: Callable[[str], ArrayVolume]) -> None:
        self.name = f"register_schema({schema!r})"
        self.opener = opener
        self._schema = schema

    def recognise(self, look: Look) -> Address | None:
        """A description of the schema."""
        return Address(self.name, look.path) if look.schema == self._schema else None

    def open(self, at: Address) -> ArrayVolume:
        """Call the function that was registered."""
        return self.opener(at.file)


def register_schema(name: str, opener: Callable[[str], ArrayVolume]) -> None:
    """Make `open_volume` open the descriptions of one more schema, in this process.

    Workers are other processes: a job that names such a description is refused. A package that is
    installed, with an entry point of the group ``blockmill.formats``, adds a format to workers as well.
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
    from .blockwise.description import SCHEMA_NAME
    from .restful.description import FILESET_SCHEMA, VOLUME_SCHEMA

    new = _DescribedBy(name, opener)
    old = _described.get(new.name)
    taken = isinstance(old, _DescribedBy) and old.opener is not opener
    if taken or name in (SCHEMA_NAME, VOLUME_SCHEMA, FILESET_SCHEMA):
        raise ValueError(f"descriptions of schema {name!r} are opened by something else already")
    _described[new.name] = new
