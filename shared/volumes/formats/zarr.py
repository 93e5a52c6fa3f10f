"""The format zarr: a Zarr v3 array, a folder with a file for each chunk."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ...errors import JobError, OutputRefused
from ...files.atomic import remove_if_there, sync_file
from ...files.places import Place
from ...files.refusals import storage_errors
from ...geometry.block_shapes import default_block_shape
from ...geometry.roi import Roi, Shape
from ..base.array_volume import ArrayVolume
from ..base.claims import Claims, Tree
from ..base.format import Address, DiskCost, Durability, Format, NewVolume, checked_extent
from ..base.look import Look
from ..base.suffixes import cut_at_file

if TYPE_CHECKING:
    from ..zarr.options import ZarrOptions

_METADATA = "zarr.json"
_CHUNKS = "c"
_LOCK = ".__lock"
_TELL_AFTER_S = 2.0


class Zarr(Format):
    """Arrays of Zarr v3. Workers write the chunks by tensorstore; a ledger notes what is finished."""

    name = "zarr"
    spelling = "'s.zarr' (a Zarr v3 array)"
    spelling_tells = False
    writers: ClassVar[Literal["workers", "merger"] | None] = "workers"
    io_threads: ClassVar[bool] = True
    # Beside the chunks: metadata, record and ledger. Chunks at the rim are stored whole.
    cost: ClassVar[DiskCost] = DiskCost(by_unit=True, bytes_per_unit=4 << 10, files_beside=3, padded=True)

    def load(self) -> None:
        """Import what reads metadata; tensorstore has threads, and stays out."""
        from ..zarr import volume  # noqa: F401

    def load_library(self) -> None:
        """Import tensorstore."""
        import tensorstore  # noqa: F401

    def parse(self, path: str) -> Address | None:
        """``s.zarr``, in any case."""
        folder = path.rstrip("/")
        if not folder.lower().endswith(".zarr") or cut_at_file(path) is not None:
            return None
        return Address(self.name, folder)

    def recognise(self, look: Look) -> Address | None:
        """A folder whose ``zarr.json`` is that of an array."""
        if _METADATA not in look.names:
            return None
        from ..zarr.metadata import read_document

        document = read_document(look.path) or {}
        if document.get("node_type") == "group":
            arrays = _arrays_in(look.path, sorted(look.names))
            named = f", such as {look.path.rstrip('/')}/{arrays[0]}" if arrays else ""
            raise JobError(f"{look.path} is a Zarr group; name one of the arrays in it{named}")
        is_array = document.get("zarr_format") == 3 and document.get("node_type") == "array"
        return Address(self.name, look.path.rstrip("/")) if is_array else None

    def check_there(self, at: Address, text: str) -> None:
        """Check that there is a folder."""
        if not os.path.lexists(at.file):
            raise JobError(f"{at.file} does not exist; the address {text!r} names it")
        if not os.path.isdir(at.file):  # noqa: PTH112
            raise JobError(f"{at.file} is no folder, and a Zarr array is one; the address {text!r} names it")

    def open(self, at: Address) -> ArrayVolume:
        """Read the metadata; chunks are opened when they are read."""
        from ..zarr.volume import ZarrVolume

        self._check_library(at)
        return ZarrVolume(at.file)

    def _check_library(self, at: Address) -> None:
        from ..zarr.volume import missing_library

        if find_spec("tensorstore") is None:
            raise JobError(missing_library(at.file))

    def reads(self, at: Address, *, follow_links: bool = True) -> Claims:
        """The metadata and the folder."""
        return Claims((Place.of(f"{at.file}/{_METADATA}"),), (Tree(Place.of(at.file)),))

    def state(self, at: Address, reads: Claims) -> Iterable[bytes]:
        """Size, time and inode of each file; each folder is looked into once."""
        for folder, entries in _walk(at.file):
            with storage_errors("look into", folder):
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False) and not entry.name.endswith(_LOCK):
                        facts = entry.stat()
                        name = entry.path[len(at.file) :]
                        yield f"{name} {facts.st_size} {facts.st_mtime_ns} {facts.st_ino};".encode()

    # -- an output ------------------------------------------------------------------

    def options(self) -> type[ZarrOptions]:
        """Chunks and compression."""
        from ..zarr.options import ZarrOptions

        return ZarrOptions

    def check_options(self, at: Address, options: ZarrOptions) -> None:
        """Refuse a name that promises more than a plain array, and a missing library."""
        self._check_library(at)
        if at.file.lower().endswith(".ome.zarr"):
            raise JobError(
                f"output: {at.file} is the name of an OME-Zarr, which has metadata that are not written; "
                "for a plain array write x.zarr"
            )

    def write_unit(self, options: ZarrOptions, shape: Shape, axes: str) -> Shape:
        """The chunks; a default if the job gives none."""
        chunks = checked_extent(options.chunks, shape, "output.chunks")
        return tuple(map(min, chunks, shape)) if chunks else default_block_shape(shape, axes)

    def claims(self, at: Address) -> Claims:
        """The folder."""
        return Claims((), (Tree(Place.of(at.file)),))

    def create(self, at: Address, new: NewVolume, *, reserve: bool = True) -> None:
        """Write the metadata; the chunks come from the workers."""
        from ..zarr.volume import ZarrVolume

        options: ZarrOptions = new.options
        axes = None if new.meaning.guessed else new.meaning.axes
        ZarrVolume.create(
            at.file,
            new.shape,
            new.dtype,
            axes=axes,
            chunks=new.unit,
            compression=options.compression,
            level=options.compression_opts,
        ).close()

    def open_to_write(self, at: Address, *, job: str = "", durability: Durability = "none") -> ArrayVolume:
        """Read the metadata."""
        from ..zarr.volume import ZarrVolume

        return ZarrVolume(at.file, "r+", sync=durability == "block")

    def check_replaceable(self, at: Address, check: Callable[[], None]) -> None:
        """Refuse what is no array of version 3, or holds something else; of a link, the link goes."""
        path = Path(at.file)
        if path.is_symlink() or not path.exists():
            return
        if not path.is_dir():
            raise OutputRefused(
                f"{path} is no folder, and is never replaced; move it, or name another output"
            )
        with storage_errors("look into", path):
            names = sorted(entry.name for entry in path.iterdir())
        if names and not _is_array(str(path)):
            raise OutputRefused(
                f"{path} is a folder that is no Zarr v3 array, which is never replaced; move it, or name "
                "another output"
            )
        if others := [name for name in names if name not in (_METADATA, _CHUNKS)]:
            raise OutputRefused(
                f"{path} also holds {', '.join(others[:5])}, which replacing it would destroy; "
                "name an output of its own"
            )
        if (path / _CHUNKS).is_symlink():
            raise OutputRefused(f"{path / _CHUNKS} is a link, and is not followed; move it")

    def remove(
        self, at: Address, new: NewVolume, check: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        """Remove the chunks, then the metadata: until then the folder is known as an array."""
        path = Path(at.file)
        if path.is_symlink() or not path.exists():
            with storage_errors("remove", path):
                remove_if_there(at.file)
            return
        tell_at_s = time.monotonic() + _TELL_AFTER_S
        with storage_errors("remove", path):
            for folder, folders, names in os.walk(path / _CHUNKS, topdown=False):
                check()
                if time.monotonic() >= tell_at_s:
                    tell_at_s = inf
                    tell(f"removing the old output {path}")
                links = [name for name in folders if Path(folder, name).is_symlink()]
                for name in (*names, *links):
                    os.unlink(os.path.join(folder, name))  # noqa: PTH108
                os.rmdir(folder)  # noqa: PTH106
            remove_if_there(str(path / _METADATA))
            path.rmdir()

    def give_name(self, partial: Address, at: Address) -> None:
        """Rename the folder, unless something has that name."""
        sync_file(f"{partial.file}/{_METADATA}")
        if os.path.lexists(at.file):
            raise FileExistsError(at.file)
        os.rename(partial.file, at.file)  # noqa: PTH104 - never over a folder with something in it

    def sweep(self, at: Address, roi: Roi | None = None) -> int:
        """Remove half-written chunks of dead writers, under the name of their lock."""
        with storage_errors("tidy", at.file):
            paths = _all_locks(at.file) if roi is None else _locks_of(at.file, roi)
            return sum(remove_if_there(path) for path in paths)

    def voxel_files(self, at: Address) -> Iterable[Path]:
        """The chunks."""
        return (path for path in Path(at.file, _CHUNKS).rglob("*") if path.is_file())


def _is_array(folder: str) -> bool:
    from ..zarr.metadata import read_document

    document = read_document(folder) or {}
    return document.get("zarr_format") == 3 and document.get("node_type") == "array"


def _arrays_in(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if _is_array(os.path.join(folder, name))]


def _walk(folder: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """All folders below one, itself included, with their entries in the order of names."""
    with storage_errors("look into", folder), os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    yield folder, entries
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)


def _all_locks(folder: str) -> list[str]:
    found = (entry.path for _, entries in _walk(folder) for entry in entries)
    return [path for path in found if path.endswith(_LOCK)]


def _locks_of(folder: str, roi: Roi) -> Iterator[str]:
    """The names that half-written chunks of a roi would have."""
    from ..zarr.metadata import read_metadata

    chunks = read_metadata(folder).chunks
    ranges = [
        range(start // n, -(-stop // n)) for start, stop, n in zip(roi.start, roi.stop, chunks, strict=True)
    ]
    for index in itertools.product(*ranges):
        yield f"{folder}/{_CHUNKS}/{'/'.join(map(str, index))}{_LOCK}"
