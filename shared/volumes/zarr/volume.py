"""Volumes that are one Zarr v3 array on disk; tensorstore reads and writes the chunks.

tensorstore works in threads of its own: a process that forks after its first read or write leaves a child
in which it hangs. So it is imported at the first voxel, in workers alone, never in what forks them.
"""

from __future__ import annotations

import os
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import JobError, OutputRefused, StorageError
from ...files.atomic import write_new
from ...files.json_file import json_bytes
from ...files.places import absolute
from ...files.refusals import refusal_of
from ...geometry.roi import Shape, as_shape
from ...geometry.slicing import AnyRoi, checked_roi
from ..base.array_volume import ArrayVolume
from ..base.checks import check_data, check_out, checked_axes, checked_dtype
from ..base.info import Meaning
from .metadata import NAME, ArrayMetadata, document_of, read_metadata

_SYSTEM_ERROR = re.compile(r"\[os_error_code='(\d+)'\]")
_COPY_THREADS = 1  # each worker has a processor to itself
_FILE_THREADS = 4


class ZarrVolume(ArrayVolume):
    """One array; its chunks are opened when they are needed, and each appears in one step.

    Any number of threads and processes may read, and write different chunks. Writes to parts of one chunk
    are put together under a lock of the chunk. A chunk that was never written reads as the fill value.

    Parameters
    ----------
    path : str or path
        The folder of the array.
    mode : {"r", "r+"}
        For reading, or for reading and writing.
    axes : str, optional
        One letter per axis. Default: the array's ``dimension_names``, if each is a letter, else the last
        letters of ``tczyx``.
    sync : bool
        A chunk is on the medium before it has its name.

    Raises
    ------
    JobError
        If there is no array of numbers.
    StorageError
        If its metadata can't be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Literal["r", "r+"] = "r",
        axes: str | None = None,
        *,
        sync: bool = False,
    ) -> None:
        self._path = os.fspath(path).rstrip("/") or "/"
        self._mode = mode
        self._sync = sync
        self._metadata = read_metadata(self._path)
        self._axes = axes
        found = self._metadata.meaning
        self._meaning = (
            found if axes is None else Meaning(axes=checked_axes(axes, len(self.shape), self._path))
        )
        self._store: Any = None
        self._closed = False

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        shape: Shape,
        dtype: DTypeLike,
        *,
        axes: str | None = None,
        chunks: Shape | None = None,
        compression: str = "zstd",
        level: int | None = None,
        sync: bool = False,
    ) -> ZarrVolume:
        """Make a new array without chunks, which reads as 0, open for writing.

        Parameters
        ----------
        path : str or path
            The folder must not exist.
        shape : tuple of int
            Voxels per axis.
        dtype : dtype-like
        axes : str, optional
            One letter per axis, noted as ``dimension_names``. Default: none are noted.
        chunks : tuple of int, optional
            Voxels per axis of a chunk, clipped to `shape`. Default: one chunk.
        compression, level
            As in a job file.
        sync : bool
            As for `ZarrVolume`.

        Returns
        -------
        ZarrVolume

        Raises
        ------
        OutputRefused
            If something is there.
        StorageError
            If it can't be made.
        """
        where, voxels = os.fspath(path).rstrip("/"), as_shape(shape)
        kind = checked_dtype(np.dtype(dtype), where).newbyteorder("=")
        names = () if axes is None else tuple(checked_axes(axes, len(voxels), where))
        extent = voxels if chunks is None else tuple(map(min, chunks, voxels))
        metadata = ArrayMetadata(shape=voxels, chunks=extent, dtype=kind, names=names)
        try:
            os.mkdir(where)  # noqa: PTH102
            write_new(os.path.join(where, NAME), json_bytes(document_of(metadata, compression, level)))
        except FileExistsError as error:
            raise OutputRefused(f"{where} exists; choose another name or remove it first") from error
        except OSError as error:
            raise StorageError(refusal_of("make", where, error)) from error
        return cls(where, "r+", axes, sync=sync)

    @property
    def shape(self) -> Shape:
        """Voxels per axis."""
        return self._metadata.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self._metadata.dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self._meaning.axes

    @property
    def meaning(self) -> Meaning:
        """The axes; a plain array keeps no more."""
        return self._meaning

    @property
    def block_shape(self) -> Shape:
        """Voxels of a chunk, or of a shard."""
        return self._metadata.chunks

    @property
    def address(self) -> str:
        """Path of the folder."""
        return self._path

    def read(self, roi: AnyRoi = None, out: NDArray | None = None) -> NDArray:
        """Read the voxels of `roi`.

        Parameters
        ----------
        roi, out
            As for `Volume.read`, as are result and errors.

        Returns
        -------
        ndarray of shape ``roi.shape``
        """
        store, roi = self._opened(), checked_roi(roi, self.shape, self._path)
        if out is not None:
            check_out(roi, out)
        try:
            voxels = store[roi.to_slice()].read(order="C").result()
        except (ValueError, OSError) as error:
            raise self._failed(f"read {roi} of", error) from _cause_of(error)
        if out is None:
            return voxels
        out[...] = voxels
        return out

    def write(self, roi: AnyRoi, data: NDArray) -> None:
        """Write voxels. They are with the system, and seen by all, when this returns.

        Parameters
        ----------
        roi, data
            As for `Volume.write`.

        Raises
        ------
        StorageError
            If the volume is open for reading only, or the system refuses.
        """
        if self._mode != "r+":
            raise StorageError(f"{self._path} is open for reading only; open it with mode 'r+' to change it")
        store, roi = self._opened(), checked_roi(roi, self.shape, self._path)
        check_data(roi, data, self.dtype, self._path)
        try:
            store[roi.to_slice()].write(data).result()
        except (ValueError, OSError) as error:
            raise self._failed(f"write {roi} of", error) from _cause_of(error)

    def _failed(self, doing: str, error: BaseException) -> StorageError:
        """The error of tensorstore without its state."""
        text = str(error).partition(" [tensorstore_spec=")[0]
        return StorageError(f"could not {doing} {self._path}: {text}")

    def _opened(self) -> Any:
        if self._closed:
            raise StorageError(f"{self._path} was closed")
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _open_store(self) -> Any:
        try:
            import tensorstore
        except ImportError as error:
            raise JobError(missing_library(self._path)) from error
        context = {
            "data_copy_concurrency": {"limit": _COPY_THREADS},
            "file_io_concurrency": {"limit": _FILE_THREADS},
            "file_io_sync": self._sync,
        }
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{absolute(self._path)}/"},
            "recheck_cached_metadata": False,
            # A chunk of zeros is a file, too: so everybody can tell a lost chunk from an empty one.
            "store_data_equal_to_fill_value": True,
            "context": context,
        }
        try:
            return tensorstore.open(spec, open=True, read=True, write=self._mode == "r+").result()
        except (ValueError, OSError) as error:
            raise self._failed("open", error) from _cause_of(error)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._mode != "r":
            raise TypeError(f"{self.address} is open for writing; pass on its address")
        return type(self), (absolute(self._path), "r", self._axes)

    def close(self) -> None:
        """Let go of the array; all writes are with the system already."""
        self._store, self._closed = None, True


def _cause_of(error: BaseException) -> BaseException:
    """The system's own error if tensorstore tells its number: it says nothing about the content."""
    number = _SYSTEM_ERROR.search(str(error))
    return error if number is None else OSError(int(number[1]), os.strerror(int(number[1])))


def missing_library(path: str) -> str:
    """What to do where the library that reads chunks is not installed."""
    return f"{path} is a Zarr array, which needs tensorstore: pip install 'blockmill[zarr]'"
