import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError, OutputRefused, StorageError
from blockmill.shared.roi import Roi
from blockmill.shared.volumes.blockfile import axistags
from blockmill.shared.volumes.hdf5 import Hdf5Volume, dataset_names
from blockmill.shared.volumes.testing import VolumeTests, sample


class TestContiguousHdf5Volume(VolumeTests):
    compression: str | None = None

    def make(self, directory, data, axes):
        volume = Hdf5Volume.create(
            directory / "v.h5", "volume/data", data.shape, data.dtype, axes=axes, compression=self.compression
        )
        volume.write(Roi.from_shape(data.shape), data)
        return volume


class TestCompressedHdf5Volume(TestContiguousHdf5Volume):
    compression = "gzip"


def test_axes_come_from_the_notes_of_the_dataset_or_are_guessed(tmp_path):
    notes = {
        "tags": ("axistags", axistags("yxc"), "yxc"),
        "letters": ("axes", "xyz", "xyz"),
        "bytes": ("axes", b"xyz", "xyz"),
        "misfit": ("axes", "xy", "zyx"),
        "twice": ("axes", "xxx", "zyx"),
        "garbage": ("axistags", "{]", "zyx"),
        "deep": ("axistags", '{"axes": 5}', "zyx"),
        "number": ("axes", 5, "zyx"),
        "none": ("other", 1, "zyx"),
    }
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for name, (key, value, _) in notes.items():
            file.create_dataset(name, data=sample((2, 3, 4))).attrs[key] = value
    for name, (_, _, axes) in notes.items():
        volume = Hdf5Volume(tmp_path / "v.h5", name)
        assert (name, volume.axes) == (name, axes)
        volume.close()
    with pytest.raises(JobError, match="'xy'"):
        _ = Hdf5Volume(tmp_path / "v.h5", "none", axes="xy").axes


def test_created_datasets_carry_layout_and_notes(tmp_path):
    volume = Hdf5Volume.create(
        tmp_path / "v.h5", "/a/b", (10, 20), "u2", axes="yx", chunks=(64, 8), compression="lzf", drange=(0, 9)
    )
    assert volume.block_shape == (10, 8)
    volume.close()
    with h5py.File(tmp_path / "v.h5") as file:
        assert file["a/b"].compression == "lzf"
        assert file["a/b"].attrs["axistags"] == axistags("yx")
        assert file["a/b"].attrs["drange"].tolist() == [0, 9]
        assert not file["a/b"][...].any()


def test_creating_refuses_an_existing_file_and_leaves_none_behind_on_errors(tmp_path):
    (tmp_path / "v.h5").write_text("precious")
    with pytest.raises(OutputRefused, match=r"v\.h5"):
        Hdf5Volume.create(tmp_path / "v.h5", "d", (2,), "u1")
    assert (tmp_path / "v.h5").read_text() == "precious"
    with pytest.raises(StorageError, match="nonsense"):
        Hdf5Volume.create(tmp_path / "w.h5", "d", (2,), "u1", compression="nonsense")
    assert not (tmp_path / "w.h5").exists()
    with pytest.raises(StorageError, match="none/"):
        Hdf5Volume.create(tmp_path / "none" / "w.h5", "d", (2,), "u1")


def test_what_is_no_volume_is_refused_with_what_there_is_instead(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["group/raw"] = sample((2, 2))
        file["text"] = "hello"
        file["scalar"] = 5
        file["nothing"] = np.zeros((0, 4))
        file["null"] = h5py.Empty("f4")
    for internal in ("wrong", "group", "", "/"):
        with pytest.raises(JobError, match="group/raw"):
            _ = Hdf5Volume(tmp_path / "v.h5", internal).shape
    for internal in ("text", "scalar", "nothing", "null"):
        with pytest.raises(JobError, match=internal):
            _ = Hdf5Volume(tmp_path / "v.h5", internal).shape
    assert dataset_names(tmp_path / "v.h5") == ["group/raw", "nothing", "null", "scalar", "text"]
    with pytest.raises(JobError, match=r"missing\.h5"):
        _ = Hdf5Volume(tmp_path / "missing.h5", "d").shape
    (tmp_path / "garbage.h5").write_bytes(b"nothing")
    with pytest.raises(StorageError, match=r"garbage\.h5"):
        _ = Hdf5Volume(tmp_path / "garbage.h5", "d").shape
    with pytest.raises(StorageError, match=r"garbage\.h5"):
        dataset_names(tmp_path / "garbage.h5")


def test_what_is_open_for_reading_or_closed_is_not_written(tmp_path):
    Hdf5Volume.create(tmp_path / "v.h5", "d", (3,), "u1").close()
    volume = Hdf5Volume(tmp_path / "v.h5", "d")
    with pytest.raises(StorageError, match="reading only"):
        volume.write(Roi((0,), (1,)), np.zeros(1, "u1"))
    volume.close()
    with pytest.raises(StorageError, match="closed"):
        volume.read(Roi((0,), (1,)))
