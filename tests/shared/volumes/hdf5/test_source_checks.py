"""Datasets that are made of other files: what HDF5 can't open is an error, never a fill value."""

import resource

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume

PARTS, ROWS = 4, 5


@pytest.fixture
def voxels():
    return np.random.default_rng(0).integers(1, 1000, (PARTS * ROWS, 6), "u2")


@pytest.fixture
def virtual(tmp_path, voxels):
    layout = h5py.VirtualLayout(voxels.shape, voxels.dtype)
    for number in range(PARTS):
        rows = slice(number * ROWS, (number + 1) * ROWS)
        with h5py.File(tmp_path / f"s{number}.h5", "w") as file:
            file["g/d"] = voxels[rows]
        layout[rows] = h5py.VirtualSource(f"s{number}.h5", "g/d", (ROWS, 6))
    with h5py.File(tmp_path / "v.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("v", layout, fillvalue=0)
    return tmp_path / "v.h5"


@pytest.fixture
def raw(tmp_path, voxels):
    half = voxels.nbytes // 2
    (tmp_path / "a.raw").write_bytes(b"head" + voxels.tobytes()[:half])
    (tmp_path / "b.raw").write_bytes(voxels.tobytes()[half:])
    with h5py.File(tmp_path / "v.h5", "w") as file:
        pieces = [(str(tmp_path / "a.raw"), 4, half), (str(tmp_path / "b.raw"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("v", voxels.shape, voxels.dtype, external=pieces)
    return tmp_path / "v.h5"


def read(path, internal="v"):
    volume = Hdf5Volume(path, internal)
    try:
        return volume.read(Roi.from_shape(volume.shape))
    finally:
        volume.close()


def test_what_is_whole_is_read(virtual, voxels):
    np.testing.assert_array_equal(read(virtual), voxels)


def test_raw_files_that_are_whole_are_read(raw, voxels):
    np.testing.assert_array_equal(read(raw), voxels)


def rename_dataset(path):
    with h5py.File(path, "r+") as file:
        file.move("g/d", "g/other")


def shorten(path):
    with h5py.File(path, "r+") as file:
        data = file["g/d"][: ROWS - 1]
        del file["g/d"]
        file["g/d"] = data


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


HARMS = [
    lambda path: path.unlink(),
    rename_dataset,
    shorten,
    cut,
    lambda path: path.write_text("no HDF5"),
]


@pytest.mark.parametrize("harm", HARMS, ids=["missing", "no dataset", "too short", "cut off", "no HDF5"])
def test_a_source_that_lacks_is_named(virtual, harm):
    harm(virtual.parent / "s2.h5")
    with pytest.raises(StorageError, match=r"s2\.h5"):
        read(virtual)


def test_a_source_behind_a_source_is_looked_at(tmp_path, virtual, voxels):
    layout = h5py.VirtualLayout(voxels.shape, voxels.dtype)
    layout[:] = h5py.VirtualSource(str(virtual), "v", voxels.shape)
    with h5py.File(tmp_path / "outer.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("o", layout)
    np.testing.assert_array_equal(read(tmp_path / "outer.h5", "o"), voxels)
    (tmp_path / "s1.h5").unlink()
    with pytest.raises(StorageError, match=r"s1\.h5"):
        read(tmp_path / "outer.h5", "o")


@pytest.mark.parametrize("name", ["a.raw", "b.raw"])
@pytest.mark.parametrize("harm", [lambda path: path.unlink(), cut], ids=["missing", "cut off"])
def test_a_raw_file_that_lacks_is_named(raw, name, harm):
    harm(raw.parent / name)
    with pytest.raises(StorageError, match=name):
        read(raw)


@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_more_files_than_may_be_open_are_allowed_or_refused(tmp_path, monkeypatch, virtual, voxels, hard):
    limits, asked = (8, 8 if hard else 100_000), []
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda which, new: asked.append(new))
    if hard:
        with pytest.raises(StorageError, match=r"4 files.*may open 8"):
            read(virtual)
    else:
        np.testing.assert_array_equal(read(virtual), voxels)
        assert asked == [(68, 100_000)]
