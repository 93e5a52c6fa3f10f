"""The meaning of `Volume` as a test class, for everybody who writes a volume of their own.

Inherit from `VolumeTests`, give `make`, and let pytest collect the class::

    class TestMyVolume(VolumeTests):
        def make(self, directory, data, axes):
            return MyVolume.create(directory / "v", data, axes)
"""

# The assert statements here are what a test is made of, not checks of input.
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import OutOfBounds
from ..geometry.roi import Roi
from .base.api import Volume
from .base.array_volume import ArrayVolume

DTYPES = ("uint8", "uint16", "int32", "uint64", "float16", "float32", "float64", "bool")
AXES = ("x", "yx", "zyx", "czyx", "txyzc")


@contextlib.contextmanager
def refused(kind: type[BaseException], *words: str) -> Iterator[None]:
    """Check that the block of code raises the right error.

    Parameters
    ----------
    kind : type of exception
    *words : str
        Each must be in the message.

    Yields
    ------
    None

    Raises
    ------
    AssertionError
        If nothing or something else is raised, or a word is missing.
    """
    try:
        yield
    except kind as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in the message: {error}"
    else:
        raise AssertionError(f"expected {kind.__name__}, but nothing was raised")


def sample(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> NDArray:
    """Voxels that differ from place to place, the same at each call.

    Parameters
    ----------
    shape : tuple of int
        Voxels per axis.
    dtype : str
    seed : int
        Another seed gives other voxels.

    Returns
    -------
    ndarray of `shape` and `dtype`
    """
    return np.random.default_rng(seed).integers(0, 120, shape).astype(dtype)


class VolumeTests:
    """Tests that every volume must pass. Each test gets a directory of its own from pytest."""

    writable = True

    def make(self, directory: Path, data: NDArray, axes: str) -> Volume:
        """Make a volume that holds `data`; each class of tests overrides it.

        Parameters
        ----------
        directory : Path
            An empty directory for the volume's files.
        data : ndarray
            The voxels.
        axes : str
            One letter per axis of `data`.

        Returns
        -------
        Volume
            Open for writing if the kind can be written.

        Raises
        ------
        NotImplementedError
            If a class does not override it.
        """
        raise NotImplementedError

    def volume(self, directory: Path) -> tuple[Volume, NDArray]:
        """The small volume of most tests, and its voxels."""
        data = sample((9, 14, 11), "int32")
        return self.make(directory, data, "zyx"), data

    def test_it_tells_what_it_is(self, tmp_path: Path) -> None:
        """Shape, dtype, axes, block shape and address have the promised types."""
        volume, data = self.volume(tmp_path)
        assert isinstance(volume, Volume)
        assert volume.shape == data.shape
        assert all(type(n) is int for n in volume.shape)
        assert volume.dtype == data.dtype
        assert volume.axes == "zyx"
        assert volume.address
        assert volume.block_shape is None or len(volume.block_shape) == data.ndim

    def test_any_roi_reads_the_voxels_that_lie_there(self, tmp_path: Path) -> None:
        """The whole, single voxels, and boxes at random."""
        volume, data = self.volume(tmp_path)
        rng = np.random.default_rng(1)
        corners = [np.sort(rng.permuted(np.arange(n + 1))[:2]) for n in data.shape for _ in range(40)]
        boxes = [Roi(*zip(*corners[i::40], strict=True)) for i in range(40)]
        for roi in [Roi.from_shape(data.shape), Roi((8, 13, 10), (9, 14, 11)), *boxes]:
            voxels = volume.read(roi)
            assert voxels.dtype == data.dtype
            assert voxels.shape == roi.shape
            np.testing.assert_array_equal(voxels, data[roi.to_slice()])

    def test_every_dtype_and_number_of_axes_comes_back(self, tmp_path: Path) -> None:
        """Each in a volume of its own."""
        pairs = [*((dtype, "zyx") for dtype in DTYPES), *(("uint16", axes) for axes in AXES)]
        for number, (dtype, axes) in enumerate(pairs):
            data = sample((5, 4, 6, 3, 2)[: len(axes)], dtype, seed=number)
            directory = tmp_path / str(number)
            directory.mkdir()
            volume = self.make(directory, data, axes)
            assert volume.dtype == data.dtype
            assert volume.axes == axes
            np.testing.assert_array_equal(volume.read(Roi.from_shape(data.shape)), data)
            volume.close()

    def test_a_destination_is_filled_and_returned(self, tmp_path: Path) -> None:
        """Also one of another dtype, or one whose voxels do not lie side by side."""
        volume, data = self.volume(tmp_path)
        roi = Roi((1, 2, 3), (8, 13, 9))
        expected = data[roi.to_slice()]
        wide = np.zeros((14, 22, 12), "int32")
        for out in (
            np.zeros(roi.shape, "int32"),
            np.zeros(roi.shape, "uint8"),
            np.zeros(roi.shape, "float64"),
            np.zeros(roi.shape[::-1], "int32").T,
            wide[::2, ::2, ::2],
            wide[3:10, 4:15, 5:11],
        ):
            assert volume.read(roi, out=out) is out
            np.testing.assert_array_equal(out, expected.astype(out.dtype))

    def test_a_destination_of_another_shape_is_refused(self, tmp_path: Path) -> None:
        """Nothing is broadcast or cropped."""
        volume, _ = self.volume(tmp_path)
        for shape in ((2, 2), (2, 2, 3), (1, 2, 2), (3, 2, 2)):
            with refused(ValueError, str(list(shape)), "[2, 2, 2]"):
                volume.read(Roi((0, 0, 0), (2, 2, 2)), out=np.zeros(shape, "int32"))

    def test_a_roi_that_is_empty_or_leaves_the_volume_is_refused(self, tmp_path: Path) -> None:
        """For reading and for writing."""
        volume, data = self.volume(tmp_path)
        for roi in (
            Roi((0, 0, 0), (9, 14, 12)),
            Roi((-1, 0, 0), (9, 14, 11)),
            Roi((9, 0, 0), (10, 1, 1)),
            Roi((0, 3, 0), (9, 3, 11)),
            Roi((0, 0), (1, 1)),
        ):
            with refused(OutOfBounds, str(roi)):
                volume.read(roi)
            if self.writable:
                with refused(OutOfBounds, str(roi)):
                    volume.write(roi, np.zeros(roi.shape, "int32"))
        np.testing.assert_array_equal(volume.read(Roi.from_shape(data.shape)), data)

    def test_what_was_read_is_a_copy(self, tmp_path: Path) -> None:
        """A change of the array that was read changes nothing in the volume."""
        volume, data = self.volume(tmp_path)
        roi = Roi.from_shape(data.shape)
        volume.read(roi)[...] = 99
        np.testing.assert_array_equal(volume.read(roi), data)

    def test_it_is_indexed_like_an_array(self, tmp_path: Path) -> None:
        """Each index that numpy takes of an array, but for masks, lists and new axes, takes the same here."""
        volume, data = self.volume(tmp_path)
        reader: Any = volume
        for key in (
            ..., (), 3, -1, np.int64(2), (3, 4), (3, 4, 5), (-9, -14, -11), slice(None), slice(2, 5),
            slice(-3, None), (slice(2, 5), ..., 3), (..., slice(1, -1)), (1, ...), (slice(None, None, 3), 2),
            (slice(7, 1, -2), slice(None), slice(None, None, -1)), (slice(None), slice(0, 14, 100)),
            (slice(None, None, 4), slice(1, None, 5), slice(3, 9, 2)), (slice(5, 5), 1), slice(100, 200),
            (2, slice(4, 2)), (0, ..., 0, 0),
        ):  # fmt: skip
            expected = data[key]
            assert reader[key].dtype == data.dtype
            assert reader[key].shape == expected.shape
            np.testing.assert_array_equal(reader[key], expected)
        masks = [1, 2], data > 0, True, 1.5
        for key in (None, (slice(None), None), 9, -10, (0, 14), (0, 0, 0, 0), (..., ...), *masks):
            with refused(IndexError):
                reader[key]

    def test_numpy_takes_it_for_an_array(self, tmp_path: Path) -> None:
        """Its voxels, in the dtype that is asked for; always as a copy."""
        volume, data = self.volume(tmp_path)
        array_like = cast("ArrayVolume", volume)
        assert isinstance(array_like, ArrayVolume)
        facts = array_like.ndim, array_like.size, array_like.nbytes, len(array_like)
        assert facts == (data.ndim, data.size, data.nbytes, len(data))
        np.testing.assert_array_equal(np.asarray(array_like), data)
        np.testing.assert_array_equal(array_like.read(), data)
        assert np.asarray(array_like, dtype="float32").dtype == np.float32
        np.testing.assert_array_equal(np.array(array_like, dtype=">i8"), data)
        np.testing.assert_array_equal(np.add(array_like, 1), data + 1)
        np.testing.assert_array_equal(np.stack(list(array_like)), data)
        np.asarray(array_like)[...] = 99
        np.testing.assert_array_equal(array_like.__array__(copy=True), data)
        with refused(ValueError, "copy"):
            array_like.__array__(copy=False)

    def test_a_roi_may_be_written_in_several_ways(self, tmp_path: Path) -> None:
        """As two corners or as a slicing; what is neither is told."""
        volume, data = self.volume(tmp_path)
        reader: Any = volume
        for roi in (((1, 2, 3), (4, 5, 6)), [[1, 2, 3], np.array([4, 5, 6])], np.s_[1:4, 2:5, 3:6]):
            np.testing.assert_array_equal(reader.read(roi), data[1:4, 2:5, 3:6])
        np.testing.assert_array_equal(reader.read(np.s_[..., -1]), data[..., -1:])
        for roi, words in (
            (((0, 0, 0), (1, 1, 1.5)), "1.5"),
            (((0, 0, 0), (1, 1, 2.0)), "write 2"),
            ((1, 2, 3), "corners"),
            (5, "corners"),
        ):
            with refused(TypeError, words):
                reader.read(roi)

    def test_its_text_says_what_it_is(self, tmp_path: Path) -> None:
        """Also of a closed one; and a ``with`` statement closes it."""
        volume, _ = self.volume(tmp_path)
        with cast("ArrayVolume", volume) as opened:
            assert opened is volume
            for fact in (type(volume).__name__, volume.address, "(9, 14, 11)", "int32", "zyx"):
                assert fact in repr(volume)
        assert type(volume).__name__ in repr(volume)

    def test_closing_twice_is_harmless(self, tmp_path: Path) -> None:
        """Also before anything was read."""
        volume, _ = self.volume(tmp_path)
        volume.close()
        volume.close()

    def test_what_was_written_is_read_and_the_rest_stays(self, tmp_path: Path) -> None:
        """Boxes at random, with data that need not lie side by side."""
        if not self.writable:
            return
        volume, data = self.volume(tmp_path)
        rng = np.random.default_rng(2)
        for number in range(12):
            ends = [np.sort(rng.permuted(np.arange(n + 1))[:2]) for n in data.shape]
            roi = Roi(*zip(*ends, strict=True))
            new = rng.integers(-500, 500, roi.shape[::-1]).astype("int32").T
            self.write(volume, roi, new if number % 2 else np.ascontiguousarray(new))
            data[roi.to_slice()] = new
            np.testing.assert_array_equal(volume.read(Roi.from_shape(data.shape)), data)

    def write(self, volume: Volume, roi: Roi, data: NDArray) -> None:
        """Write voxels so that they can be read at once; override it if that needs more than `write`.

        Parameters
        ----------
        volume : Volume
        roi : Roi
            Within the volume.
        data : ndarray of shape ``roi.shape``
            Of the volume's dtype.
        """
        volume.write(roi, data)

    def test_data_of_another_shape_or_dtype_is_refused(self, tmp_path: Path) -> None:
        """Nothing is cropped, broadcast or cast, and nothing is changed."""
        if not self.writable:
            return
        volume, data = self.volume(tmp_path)
        roi = Roi((0, 0, 0), (2, 3, 4))
        for shape in ((2, 3), (2, 3, 5), (1, 1, 1), (4, 3, 2)):
            with refused(ValueError, str(list(shape)), "[2, 3, 4]"):
                volume.write(roi, np.ones(shape, "int32"))
        for dtype in ("int64", "uint8", "float32", ">i4"):
            with refused(ValueError, str(np.dtype(dtype)), "int32"):
                volume.write(roi, np.ones(roi.shape, dtype))
        with refused(ValueError, "filled"):
            volume.write(roi, np.ma.masked_equal(np.ones(roi.shape, "int32"), 1))
        np.testing.assert_array_equal(volume.read(Roi.from_shape(data.shape)), data)
