import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError, OutputRefused, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.conformance import VolumeTests, sample
from blockmill.shared.volumes.npy import NpyVolume


class TestNpyVolume(VolumeTests):
    def make(self, directory, data, axes):
        volume = NpyVolume.create(directory / "v.npy", data.shape, data.dtype, axes)
        volume.write(Roi.from_shape(data.shape), data)
        return volume


class TestNpyVolumeInFortranOrder(VolumeTests):
    def make(self, directory, data, axes):
        np.save(directory / "v.npy", np.asfortranarray(data))
        return NpyVolume(directory / "v.npy", "r+", axes)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_header_version_is_read(tmp_path, version):
    data = sample((4, 5), "u2")
    with (tmp_path / "v.npy").open("wb") as file:
        np.lib.format.write_array(file, data, version=version)
    np.testing.assert_array_equal(NpyVolume(tmp_path / "v.npy").read(Roi.from_shape((4, 5))), data)


def test_numpy_reads_what_was_written_after_closing(tmp_path):
    data = sample((6, 7), "f4")
    volume = NpyVolume.create(tmp_path / "v.npy", (6, 7), "f4")
    volume.write(Roi((2, 0), (6, 7)), data[2:])
    volume.close()
    data[:2] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), data)


def test_the_other_byte_order_is_kept(tmp_path):
    data = sample((3, 4), ">u2")
    np.save(tmp_path / "v.npy", data)
    volume = NpyVolume(tmp_path / "v.npy")
    assert volume.dtype == np.dtype(">u2")
    assert volume.read(Roi.from_shape((3, 4))).tolist() == data.tolist()


def test_creating_reserves_the_space_and_refuses_an_existing_file(tmp_path):
    volume = NpyVolume.create(tmp_path / "v.npy", (1000, 100), "u1")
    assert (tmp_path / "v.npy").stat().st_blocks * 512 >= 100_000
    volume.close()
    with pytest.raises(OutputRefused, match=r"v\.npy"):
        NpyVolume.create(tmp_path / "v.npy", (2,), "u1")


def test_a_volume_too_large_for_the_disk_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(StorageError, match=r"v\.npy"):
        NpyVolume.create(tmp_path / "v.npy", (1 << 30, 1 << 20), "u1")
    assert not list(tmp_path.iterdir())


def test_what_is_open_for_reading_or_closed_is_not_written(tmp_path):
    np.save(tmp_path / "v.npy", sample((3,)))
    volume = NpyVolume(tmp_path / "v.npy")
    with pytest.raises(StorageError, match="reading only"):
        volume.write(Roi((0,), (1,)), np.zeros(1, "u1"))
    volume.close()
    with pytest.raises(StorageError, match="closed"):
        volume.read(Roi((0,), (1,)))


def test_files_that_are_no_arrays_of_numbers_are_refused_with_their_name(tmp_path):
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "empty.npy", np.zeros((0, 3)))
    np.save(tmp_path / "scalar.npy", np.array(5))
    (tmp_path / "garbage.npy").write_bytes(b"nothing")
    (tmp_path / "nothing.npy").touch()
    np.save(tmp_path / "cut.npy", sample((100,)))
    with (tmp_path / "cut.npy").open("r+b") as file:
        file.truncate(150)
    for path in [*tmp_path.iterdir(), tmp_path / "missing.npy"]:
        with pytest.raises(JobError, match=path.name):
            NpyVolume(path)


def test_an_enum_of_hdf5_is_stored_as_its_numbers_without_a_word(tmp_path, recwarn):
    values = np.arange(24, dtype="i2").reshape(4, 6) % 3
    kind = h5py.enum_dtype({"BACKGROUND": 0, "CELL": 1, "EDGE": 2}, "i2")
    volume = NpyVolume.create(tmp_path / "e.npy", (4, 6), kind)
    volume.write(Roi((0, 0), (4, 6)), values)
    volume.close()
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), values)
    assert [str(warning.message) for warning in recwarn] == []
