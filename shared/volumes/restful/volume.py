"""A volume that a web server offers in cut-outs."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import BinaryIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import DownloadFailed, JobError, StorageError
from ...files.atomic import replacing
from ...files.places import absolute
from ...geometry.roi import Roi, Shape
from ...geometry.slicing import AnyRoi, checked_roi
from ..base.array_volume import ArrayVolume
from ..base.checks import check_out
from ..base.suffixes import cut_at_file
from .cutout import CONTENT_TYPES, BodyFormat, CutoutSpec, WrongCutout, check, read
from .description import RESTfulVolumeDescription, read_volume_description
from .fetch import DownloadSettings, Fetcher, shown

_MOST_IN_MEMORY_BYTES = 64 << 20

_T = TypeVar("_T")


class RESTfulVolume(ArrayVolume):
    """A volume behind a url template; every read is a download, nothing is kept.

    Each answer is checked for its size, shape and dtype before anybody sees it: an error page,
    or an answer that was cut off, never becomes voxels. (The original checks nothing,
    has no time-out, tries once, and leaves a truncated file if a transfer is aborted.)
    Cut-outs may be HDF5 files, ``.npy`` files or bare voxels, by their content type.

    Any number of threads may read at once.

    Parameters
    ----------
    source : str, path or RESTfulVolumeDescription
        The JSON description, or its content.
    transfer : DownloadSettings, optional
        Time-outs, retries, headers, token.

    Raises
    ------
    JobError
        If the description is missing or wrong.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | RESTfulVolumeDescription,
        transfer: DownloadSettings | None = None,
    ) -> None:
        if isinstance(source, RESTfulVolumeDescription):
            self._description, self._address = source, shown(source.url_format)
        else:
            path = absolute(os.path.expanduser(os.fspath(source)))  # noqa: PTH111
            self._description, self._address = read_volume_description(path), path
        self._fetcher = Fetcher(self._description.url_format, transfer or DownloadSettings())
        self._closed = False

    @property
    def description(self) -> RESTfulVolumeDescription:
        """The description as it was read."""
        return self._description

    @property
    def shape(self) -> Shape:
        """Voxels per axis: the description's bounds less its origin_offset."""
        return self._description.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self._description.dtype

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self._description.axes

    @property
    def block_shape(self) -> None:
        """Any cut-out may be asked for."""
        return

    @property
    def address(self) -> str:
        """Absolute path of the description file, or the url template."""
        return self._address

    def read(
        self, roi: AnyRoi = None, out: NDArray | None = None, stop: threading.Event | None = None
    ) -> NDArray:
        """Download the voxels of `roi`.

        Parameters
        ----------
        roi : Roi, pair of corners or slicing, optional
            In voxels of the volume; origin_offset is added in the request to the server. Default: all.
        out : ndarray of shape ``roi.shape``, optional
            Filled, with numpy's unsafe casting if its dtype differs.
        stop : threading.Event, optional
            Ends it early, with DownloadFailed.

        Returns
        -------
        ndarray of shape ``roi.shape``
            `out` if it was given, else a new array.

        Raises
        ------
        OutOfBounds
            If `roi` is empty or leaves the volume.
        DownloadFailed
            If the server can't be reached, refuses, or sends something else; `out` is as it was.
        """
        roi = self._checked(roi)
        if out is not None:
            check_out(roi, out)
        with _room_for(roi.volume * self.dtype.itemsize) as file:
            voxels = self._cut(roi, self._download(roi, file, stop, read))
        if out is None:
            return voxels
        out[...] = voxels.astype(out.dtype, copy=False)
        return out

    def download(self, roi: AnyRoi, path: str | os.PathLike[str]) -> None:
        """Download the voxels of `roi` into a file, as the server sends them.

        The file appears whole and checked, or not at all.

        Parameters
        ----------
        roi : Roi
            In voxels of the volume.
        path : str or path
            ``cut.h5``, or ``cut.h5/cube`` as the original has it: the path inside must then be the
            hdf5_dataset of the description. An existing file is replaced.

        Raises
        ------
        OutOfBounds, DownloadFailed
            As `read`.
        JobError
            If the path inside is another one.
        StorageError
            If the file can't be written.
        """
        roi = self._checked(roi)
        target = self._target(os.fspath(path))
        try:
            with replacing(target) as partial, open(partial, "x+b") as file:  # noqa: PTH123 - text is what we have
                self._download(roi, file, None, check)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"could not write {target}: {error}") from error

    def _target(self, path: str) -> str:
        file, rest = cut_at_file(path) or (path, "")
        internal, expected = rest.strip("/"), self._description.hdf5_dataset or ""
        if internal and f"/{internal}" != expected:
            raise JobError(f"{path}: the server's files have {expected!r}, not '/{internal}'")
        return file

    def _checked(self, roi: AnyRoi) -> Roi:
        if self._closed:
            raise StorageError(f"{self._address} was closed")
        return checked_roi(roi, self.shape, self._address)

    def _download(
        self,
        roi: Roi,
        file: BinaryIO,
        stop: threading.Event | None,
        use: Callable[[BinaryIO, Mapping[str, str], CutoutSpec], _T],
    ) -> _T:
        """Download `roi` into `file`. Returns the result of `use`, which checks the file."""
        remote = self._description.remote(roi)
        url = self._description.url(remote)
        kind = cast("BodyFormat", self._description.format)
        spec = CutoutSpec(remote.shape, self.dtype, kind, self._description.hdf5_dataset or "/cutout")
        accept = spec.accept if use is read else f"{CONTENT_TYPES[kind]}, */*;q=0.1"
        headers = self._fetcher.fetch(url, file, accept, spec.limit_bytes, stop)
        try:
            return use(file, headers, spec)
        except WrongCutout as error:
            raise DownloadFailed(f"{shown(url)}: {error}{self._quoted(file, error)}") from error

    def _quoted(self, file: BinaryIO, error: WrongCutout) -> str:
        """The beginning of a page that came in place of voxels."""
        if "holds no voxels" not in str(error):
            return ""
        file.seek(0)
        return f": {self._fetcher.error_text(file.read(2000))}"

    def _cut(self, roi: Roi, voxels: NDArray) -> NDArray:
        """Cut `roi` out of a download, in which axes that the address does not name are whole."""
        if voxels.shape == roi.shape:
            return voxels
        slices = [
            slice(None) if n == b - a else slice(a, b)
            for a, b, n in zip(roi.start, roi.stop, voxels.shape, strict=True)
        ]
        return np.ascontiguousarray(voxels[tuple(slices)])

    def write(self, roi: AnyRoi, data: NDArray) -> None:
        """Refuse to write: a server's volume can only be read.

        Parameters
        ----------
        roi, data
            As for any volume; not used.

        Raises
        ------
        StorageError
            Always.
        """
        raise StorageError(f"{self._address} is a volume of a server, which can only be read")

    def close(self) -> None:
        """Close connections; closing twice is harmless."""
        self._closed = True
        self._fetcher.close()


def _room_for(size_bytes: int) -> BinaryIO:
    """A temporary file for an answer, until its voxels are out of it.

    In memory, unless it is large: on a disk, a file a block costs more than the download.
    """
    if size_bytes <= _MOST_IN_MEMORY_BYTES:
        return io.BytesIO()
    return cast("BinaryIO", tempfile.TemporaryFile(prefix="blockmill-cutout-"))
