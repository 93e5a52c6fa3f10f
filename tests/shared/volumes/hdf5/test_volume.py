import subprocess
import sys

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError, OutputRefused, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.conformance import VolumeTests, sample
from blockmill.shared.volumes.hdf5.contents import dataset_names
from blockmill.shared.volumes.hdf5.layout import axistags
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume


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


def test_a_contiguous_dataset_has_its_space_reserved_at_creation(tmp_path):
    volume = Hdf5Volume.create(tmp_path / "v.h5", "d", (64, 128, 128), "u1")
    assert (tmp_path / "v.h5").stat().st_blocks * 512 >= 1 << 20
    assert not volume.read(Roi.from_shape(volume.shape)).any()
    volume.close()


def test_what_was_flushed_can_be_read_by_others(tmp_path):
    volume = Hdf5Volume.create(tmp_path / "v.h5", "d", (40, 40), "u2", chunks=(8, 8), compression="gzip")
    voxels = sample((40, 40), "uint16")
    volume.flush()
    volume.write(Roi.from_shape((40, 40)), voxels)
    volume.flush()
    (tmp_path / "copy.h5").write_bytes((tmp_path / "v.h5").read_bytes())
    volume.close()
    volume.flush()
    with h5py.File(tmp_path / "copy.h5") as file:
        np.testing.assert_array_equal(file["d"], voxels)


ON_A_SMALL_DISK = """
import resource, signal, sys
import h5py
import numpy as np
from blockmill.shared.errors import StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume

path, layout, flushing, limit = sys.argv[1], sys.argv[2], sys.argv[3] == "flush", int(sys.argv[4])
chunked = {"chunks": (32, 32)} if layout != "contiguous" else {}
if layout == "gzip":
    chunked["compression"] = "gzip"
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
random = np.random.default_rng(0)
try:
    volume = Hdf5Volume.create(path, "v/d", (640, 640), "u2", **chunked)
    held = volume._open()  # whoever refers to parts of the file must not be harmed either
    try:
        for y in range(0, 640, 64):
            volume.write(Roi((y, 0), (y + 64, 640)), random.integers(0, 60000, (64, 640), "u2"))
            if flushing:
                volume.flush()
    finally:
        volume.close()
except StorageError as error:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(error)
"""


@pytest.mark.parametrize("limit", [100, 20_000, 790_000])
@pytest.mark.parametrize("flushing", ["flush", "no-flush"])
@pytest.mark.parametrize("layout", ["contiguous", "chunks", "gzip"])
def test_a_full_disk_is_an_error_of_storage_and_the_process_ends_well(tmp_path, layout, flushing, limit):
    where = tmp_path / "v.h5"
    command = [sys.executable, "-c", ON_A_SMALL_DISK, str(where), layout, flushing, str(limit)]
    run = subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert str(where) in run.stdout
    assert "File too large" in run.stdout
    assert run.stdout.count("\n") == 1
    if layout == "contiguous" or limit == 100:
        assert f"could not create {where}" in run.stdout
        assert not where.exists()
