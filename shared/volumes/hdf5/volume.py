"""Volumes that are one dataset of one HDF5 file."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import JobError, OutputRefused, StorageError
from ...files.atomic import removed_on_error
from ...files.places import absolute
from ...files.refusals import plain_reason, refusal_of
from ...geometry.roi import Shape, as_shape
from ...geometry.slicing import AnyRoi, as_roi, checked_roi
from ..base.array_volume import ArrayVolume
from ..base.checks import check_data, check_out, checked_axes, checked_dtype
from ..base.info import Meaning
from .contents import map_open, names_in_words
from .layout import DatasetLayout, create_dataset
from .meaning import meaning_of_dataset, write_meaning
from .opening import open_to_read
from .plugins import missing_filter, missing_filter_behind, packed_by
from .source_checks import check_sources

# Errors of h5py if the system refuses a write; which one depends on the call.
_FAILED = (OSError, RuntimeError)


class _Open(NamedTuple):
    file: h5py.File
    dataset: h5py.Dataset


class Hdf5Volume(ArrayVolume):
    """One dataset of an HDF5 file; opened when it is first needed, then kept open until `close`.

    Parameters
    ----------
    path : str or path
    internal : str
        Path of the dataset inside the file.
    mode : {"r", "r+"}
        For reading, or for reading and writing.
    axes : str, optional
        One letter per axis. Default: what the dataset says (``axistags`` as vigra writes it, the
        attribute ``axes``, labels of its dimensions), else the last letters of ``tczyx``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        internal: str,
        mode: Literal["r", "r+"] = "r",
        axes: str | None = None,
    ) -> None:
        self._path = os.fspath(path)
        self._internal = internal.strip("/")
        self._mode = mode
        self._requested_axes = axes
        self._opened: _Open | None = None
        self._closed = False
        self._opening = threading.Lock()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        internal: str,
        shape: Shape,
        dtype: DTypeLike,
        *,
        axes: str | None = None,
        chunks: Shape | None = None,
        compression: str | None = None,
        compression_opts: int | None = None,
        drange: tuple[float, float] | None = None,
        meaning: Meaning | None = None,
        reserve: bool = True,
    ) -> Hdf5Volume:
        """Make a new file with one dataset, which reads as 0, open for writing.

        Parameters
        ----------
        path : str or path
            The file must not exist.
        internal : str
            Path of the dataset.
        shape : tuple of int
            Voxels per axis.
        dtype : dtype-like
        axes : str, optional
            One letter per axis. Default: the last letters of ``tczyx``.
        chunks, compression, compression_opts
            As h5py takes them; chunks are clipped to `shape`.
        drange : pair of numbers, optional
            Lowest and highest value, kept as an attribute.
        meaning : Meaning, optional
            In place of `axes` and `drange`, with more of what the voxels mean. Guessed axes are not
            noted.
        reserve : bool
            Reserve the space of a contiguous dataset on disk.

        Returns
        -------
        Hdf5Volume

        Raises
        ------
        OutputRefused
            If the file exists.
        StorageError
            If it can't be created, or there is no room for it. No file is left then.
        """
        where, voxels = os.fspath(path), as_shape(shape)
        kind = checked_dtype(np.dtype(dtype), where)
        letters = checked_axes(axes if meaning is None else meaning.axes, len(voxels), where)
        layout = DatasetLayout(kind, letters, chunks, compression, compression_opts, drange)
        try:
            file = h5py.File(where, "x")
        except FileExistsError as error:
            raise OutputRefused(f"{where} exists; choose another name or remove it first") from error
        except OSError as error:
            raise StorageError(f"could not create {where}: {error}") from error
        with removed_on_error(where):
            _fill_new(file, layout, internal.strip("/"), voxels, meaning, reserve)
        return cls(where, internal, "r+", letters)

    @property
    def shape(self) -> Shape:
        """Voxels per axis."""
        return self._open().dataset.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self._open().dataset.dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self.meaning.axes

    @property
    def meaning(self) -> Meaning:
        """What the attributes of the dataset say about its voxels."""
        dataset = self._open().dataset
        try:
            found = meaning_of_dataset(dataset)
        except _FAILED as error:
            raise StorageError(f"could not read the attributes of {self.address}: {error}") from error
        if self._requested_axes is None:
            return found
        axes = checked_axes(self._requested_axes, dataset.ndim, self.address)
        return replace(found, axes=axes, axes_from="file")

    @property
    def block_shape(self) -> Shape | None:
        """The chunk shape, or None if the dataset is contiguous."""
        return self._open().dataset.chunks

    @property
    def address(self) -> str:
        """Path of the file and path inside it."""
        return f"{self._path}/{self._internal}"

    def read(self, roi: AnyRoi = None, out: NDArray | None = None) -> NDArray:
        """Read the voxels of `roi`.

        Parameters
        ----------
        roi, out
            As for `Volume.read`.

        Returns
        -------
        ndarray of shape ``roi.shape``

        Raises
        ------
        OutOfBounds, StorageError
            As for `Volume.read`.
        """
        dataset = self._open().dataset
        roi = checked_roi(roi, dataset.shape, self.address)
        target = np.empty(roi.shape, dataset.dtype) if out is None else out
        check_out(roi, target)
        try:
            if target.dtype == dataset.dtype and _plain(target):
                dataset.read_direct(target, roi.to_slice())
            else:
                target[...] = dataset[roi.to_slice()].astype(target.dtype)
        except _FAILED as error:
            reason = missing_filter_behind(dataset) or f"{error}{packed_by(dataset)}"
            raise StorageError(f"could not read {roi} of {self.address}: {reason}") from error
        return target

    def write(self, roi: AnyRoi, data: NDArray) -> None:
        """Write voxels. They may be held back until `flush`.

        A crash between this and `flush` or `close` may damage the whole file. After a failure the
        volume is closed.

        Parameters
        ----------
        roi, data
            As for `Volume.write`.

        Raises
        ------
        StorageError
            If the volume is open for reading only, or the system refuses.
        """
        dataset = self._open().dataset
        roi = as_roi(roi, dataset.shape)
        if self._mode != "r+":
            raise StorageError(f"{self._path} is open for reading only; open it with mode 'r+' to change it")
        roi.check_within(dataset.shape, self.address)
        check_data(roi, data, dataset.dtype, self.address)
        with self._abandoned_on_failure(f"write {roi} of"):
            dataset[roi.to_slice()] = data

    def __reduce__(self) -> tuple[Any, ...]:
        if self._mode != "r":
            raise TypeError(
                f"{self.address} is open for writing, which one process does; pass on its address"
            )
        return type(self), (absolute(self._path), self._internal, "r", self._requested_axes)

    def flush(self) -> None:
        """Hand all writes to the system: a kill from here on to the next `write` harms nothing.

        Raises
        ------
        StorageError
            If the system refuses, as on a full disk; the volume is closed then.
        """
        if self._mode == "r+" and self._opened is not None:
            with self._abandoned_on_failure("write the last changes of"):
                self._opened.file.flush()

    def close(self) -> None:
        """Close the file, which brings it to a consistent state.

        Raises
        ------
        StorageError
            If the system refuses to take the rest of what was written. The volume is closed anyway.
        """
        try:
            self.flush()  # its failure can be dealt with, one in closing can't
            with self._abandoned_on_failure("close"):
                if self._opened is not None:
                    self._opened.file.close()
        finally:
            with self._opening:
                self._opened, self._closed = None, True

    @contextlib.contextmanager
    def _abandoned_on_failure(self, what: str) -> Iterator[None]:
        try:
            yield
        except _FAILED as error:
            with self._opening:
                opened, self._opened, self._closed = self._opened, None, True
            if opened is not None:
                _abandon(opened.file)
            raise StorageError(f"could not {what} {self.address}: {plain_reason(error)}") from error

    def _open(self) -> _Open:
        with self._opening:
            if self._closed:
                raise StorageError(f"{self.address} was closed")
            if self._opened is None:
                self._opened = self._open_now()
            return self._opened

    def _open_file(self) -> h5py.File:
        return open_to_read(self._path) if self._mode == "r" else h5py.File(self._path, self._mode)

    def _open_now(self) -> _Open:
        try:
            file = self._open_file()
        except FileNotFoundError as error:
            raise JobError(f"{self._path} does not exist") from error
        except BlockingIOError as error:
            raise StorageError(f"{self._path} is open in another process, for writing: {error}") from error
        except PermissionError as error:
            raise StorageError(refusal_of("read", self._path, _bare(error))) from error
        except OSError as error:
            raise StorageError(
                f"{self._path} can't be opened as an HDF5 file: {error}{_live_hint(error)}"
            ) from error
        try:
            dataset = _voxels_in(file, self._internal, self._path)
            missing_filter(dataset.id.get_create_plist())  # loads them; what is missing may not be needed
            if dataset.is_virtual or dataset.external:
                check_sources(dataset)
            return _Open(file, dataset)
        except _FAILED as error:
            file.close()
            raise StorageError(f"could not look into {self._path}: {error}") from error
        except BaseException:
            file.close()
            raise


def _live_hint(error: OSError) -> str:
    """The way to read a file that is marked as being written."""
    if "already open for write" not in str(error):
        return ""
    return (
        "; another program writes it (SWMR), or has crashed while it did: a job reads it as it is with "
        "input: {address: ..., live: true}"
    )


def _fill_new(
    file: h5py.File,
    layout: DatasetLayout,
    internal: str,
    shape: Shape,
    meaning: Meaning | None,
    reserve: bool,
) -> None:
    """Put the dataset into a new file, reserve its space, and close the file."""
    where = file.filename
    try:
        dataset = create_dataset(file, layout, internal, shape)
        if meaning is not None:
            write_meaning(dataset, meaning)
        contiguous = reserve and dataset.chunks is None and dataset.size
        if contiguous:
            dataset[tuple(n - 1 for n in shape)] = 0  # the first write places all voxels in the file
        file.flush()
        file.close()
        if contiguous:
            _reserve(where)
    except _FAILED as error:
        _abandon(file)
        raise StorageError(f"could not create {where}: {plain_reason(error)}") from error
    except BaseException:
        _abandon(file)
        raise


def _reserve(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _abandon(file: h5py.File) -> None:
    """Close a file after a failed write; voxels that are not yet in it are lost.

    HDF5 holds on to a file that it can't write, tries again whenever something of it is closed,
    and crashes at the end of the process. So it writes the rest to the null device.
    """
    if not file:
        return
    with contextlib.suppress(*_FAILED):  # the failure that led here is the one to report
        _divert(file.id.get_vfd_handle())
        file.close()


def _bare(error: OSError) -> OSError:
    """The same error of the system without HDF5's words about it."""
    return error if error.errno is None else OSError(error.errno, os.strerror(error.errno))


def _divert(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.dup2(null, descriptor, inheritable=False)
    finally:
        os.close(null)


def _plain(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.flags.c_contiguous and array.flags.writeable


def _voxels_in(file: h5py.File, internal: str, path: str) -> h5py.Dataset:
    dataset = file.get(internal) if internal else None
    if dataset is None or not isinstance(dataset, h5py.Dataset):
        names = sorted(map_open(file, lambda name, _: name))
        raise JobError(f"{path} holds no dataset {internal!r}; {names_in_words(names)}")
    if dataset.shape is None or not dataset.size or not dataset.ndim:
        raise JobError(f"{path}/{internal} holds no voxels: its shape is {dataset.shape}")
    checked_dtype(dataset.dtype, f"{path}/{internal}")
    return dataset
