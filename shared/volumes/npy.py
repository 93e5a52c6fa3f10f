"""Volumes in numpy's own ``.npy`` files, read and written through a memory map."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike, NDArray

from ..errors import JobError, OutputRefused, StorageError
from ..files.atomic import removed_on_error
from ..files.places import absolute
from ..files.refusals import refusal_of
from ..geometry.roi import Roi, Shape, as_shape
from ..geometry.slicing import AnyRoi, as_roi, checked_roi
from .base.array_volume import ArrayVolume
from .base.checks import check_data, check_out, checked_axes, checked_dtype
from .base.info import Meaning


class NpyVolume(ArrayVolume):
    """One array in a ``.npy`` file, in C or Fortran order.

    Parameters
    ----------
    path : str or path
    mode : {"r", "r+"}
        For reading, or for reading and writing.
    axes : str, optional
        One letter per axis; the file does not hold them. Default: the last letters of ``tczyx``.
    reserve : bool
        Reserve the whole file on disk before it is written to: a write through a map to a full disk would
        kill the process.

    Raises
    ------
    JobError
        If the file is missing, is no ``.npy`` file of numbers, or `axes` does not fit.
    StorageError
        If the system refuses, or the disk is too full to write to the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Literal["r", "r+"] = "r",
        axes: str | None = None,
        *,
        reserve: bool = True,
    ) -> None:
        self._path = os.fspath(path)
        self._mode: Literal["r", "r+"] = mode
        if mode == "r+" and reserve:
            _reserve(self._path)
        array = self._mapped()
        if array.size == 0:
            raise JobError(f"{self._path} holds an array of shape {list(array.shape)}, which has no voxels")
        self._map: NDArray | None = array
        self._array: NDArray | None = array.view(np.ndarray)  # to index a memmap takes 5 us more
        self._shape, self._dtype = array.shape, checked_dtype(array.dtype, self._path)
        self._axes = checked_axes(axes, array.ndim, self._path)
        self._guessed = axes is None

    def _mapped(self) -> NDArray:
        try:
            return np.load(self._path, mmap_mode=self._mode, allow_pickle=False)
        except FileNotFoundError as error:
            raise JobError(f"{self._path} does not exist") from error
        except (ValueError, EOFError, TypeError) as error:
            raise JobError(f"{self._path} can't be used as a .npy file: {error}") from error
        except OSError as error:
            raise StorageError(refusal_of("read", self._path, error)) from error

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        shape: Shape,
        dtype: DTypeLike,
        axes: str | None = None,
        *,
        reserve: bool = True,
    ) -> NpyVolume:
        """Make a new file of zeros, with its space on disk reserved, open for writing.

        Parameters
        ----------
        path : str or path
            The file must not exist.
        shape : tuple of int
            Voxels per axis.
        dtype : dtype-like
        axes : str, optional
            One letter per axis. Default: the last letters of ``tczyx``.
        reserve : bool
            False leaves a file with holes, for tests and estimates.

        Returns
        -------
        NpyVolume

        Raises
        ------
        OutputRefused
            If the file exists.
        StorageError
            If there is no room for it.
        """
        where, voxels = os.fspath(path), as_shape(shape)
        kind = np.dtype(checked_dtype(np.dtype(dtype), where).str)  # without notes such as an enum's names
        checked_axes(axes, len(voxels), where)
        try:
            descriptor = os.open(where, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError as error:
            raise OutputRefused(f"{where} exists; choose another name or remove it first") from error
        except OSError as error:
            raise StorageError(f"could not create {where}: {error}") from error
        with removed_on_error(where):
            try:
                with os.fdopen(descriptor, "r+b") as file:
                    header = {
                        "descr": npy_format.dtype_to_descr(kind),
                        "fortran_order": False,
                        "shape": voxels,
                    }
                    npy_format.write_array_header_1_0(file, header)
                    file.truncate(file.tell() + Roi.from_shape(voxels).volume * kind.itemsize)
            except OSError as error:
                raise StorageError(f"could not create {where}: {error}") from error
            return cls(where, "r+", axes, reserve=reserve)

    @property
    def shape(self) -> Shape:
        """Voxels per axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self._dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self._axes

    @property
    def meaning(self) -> Meaning:
        """Nothing but the axes: the format keeps no more."""
        return Meaning(axes=self._axes, axes_from="guess" if self._guessed else "file")

    @property
    def block_shape(self) -> None:
        """Any block may be written by itself."""
        return

    @property
    def address(self) -> str:
        """The path as given."""
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
        array, roi = self._open(), checked_roi(roi, self.shape, self._path)
        if out is None:
            return np.array(array[roi.to_slice()], order="C", subok=False)
        check_out(roi, out)
        out[...] = array[roi.to_slice()]
        return out

    def write(self, roi: AnyRoi, data: NDArray) -> None:
        """Write voxels. They are on their way to the disk when this returns.

        Parameters
        ----------
        roi, data
            As for `Volume.write`.

        Raises
        ------
        StorageError
            If the volume is open for reading only.
        """
        array, roi = self._open(), as_roi(roi, self.shape)
        if self._mode != "r+":
            raise StorageError(f"{self._path} is open for reading only; open it with mode 'r+' to change it")
        roi.check_within(self.shape, self._path)
        check_data(roi, data, self.dtype, self._path)
        array[roi.to_slice()] = data

    def _open(self) -> NDArray:
        if self._array is None:
            raise StorageError(f"{self._path} was closed")
        return self._array

    def __reduce__(self) -> tuple[Any, ...]:
        # By its file, not by its voxels: for dask's processes, for instance.
        return type(self), (absolute(self._path), self._mode, None if self._guessed else self._axes)

    def close(self) -> None:
        """Bring what was written to the medium and let go of the file."""
        if self._array is not None and isinstance(self._map, np.memmap) and self._mode == "r+":
            self._map.flush()
        self._array = self._map = None


def _reserve(path: str) -> None:
    """Reserve the whole file on disk."""
    try:
        size_bytes = Path(path).stat().st_size
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if size_bytes:
                os.posix_fallocate(descriptor, 0, size_bytes)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise JobError(f"{path} does not exist") from error
    except OSError as error:
        raise StorageError(f"could not reserve the space of {path}: {error}") from error
