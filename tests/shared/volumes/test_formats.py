import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.formats import Address, open_volume, split_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("x.json", Address("fileset", "x.json")),
        ("/a/x.json", Address("fileset", "/a/x.json")),
        ("f.h5/volume/data", Address("hdf5", "f.h5", "volume/data")),
        ("a/f.hdf5//volume//data/", Address("hdf5", "a/f.hdf5", "volume/data")),
        ("/p/f.ilp/raw", Address("hdf5", "/p/f.ilp", "raw")),
        ("F.H5/raw", Address("hdf5", "F.H5", "raw")),
        ("my.h5.backup/f.h5/raw", Address("hdf5", "my.h5.backup/f.h5", "raw")),
        ("f.h5/inner.h5", Address("hdf5", "f.h5", "inner.h5")),
        ("f.h5/x.json", Address("hdf5", "f.h5", "x.json")),
        ("a.npy", Address("npy", "a.npy")),
    ],
)
def test_addresses_are_split_at_whole_path_components(text, address):
    assert split_address(text) == address
    assert split_address(str(address)) == address


def test_a_directory_may_be_called_like_a_file(tmp_path):
    (tmp_path / "x.h5").mkdir()
    assert split_address(f"{tmp_path}/x.h5/f.h5/d") == Address("hdf5", f"{tmp_path}/x.h5/f.h5", "d")
    assert split_address(f"{tmp_path}/x.h5/y.json") == Address("fileset", f"{tmp_path}/x.h5/y.json")


def test_relative_addresses_follow_the_base_directory(tmp_path):
    assert split_address("a.npy", tmp_path).file == f"{tmp_path}/a.npy"
    assert split_address("/b/a.npy", tmp_path).file == "/b/a.npy"


def test_the_home_directory_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    assert split_address("~/a.npy").file == "/home/anna/a.npy"


@pytest.mark.parametrize(
    "text", ["", "x", "x.tif", "http://h/x.json", "v.zarr/0", "x.h5.bak/d", "a\0.npy", "x.json/y"]
)
def test_unknown_kinds_are_refused_with_what_is_supported(text):
    with pytest.raises(JobError, match="blockwise fileset"):
        split_address(text)


def test_an_hdf5_file_alone_is_refused_with_its_datasets(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["volume/data"] = np.zeros(3)
    for tail in ("", "/"):
        with pytest.raises(JobError, match="volume/data"):
            split_address(f"{tmp_path}/f.h5{tail}")
    with pytest.raises(JobError, match="path of a dataset"):
        split_address("missing.h5")


def test_every_kind_is_opened(tmp_path):
    data = np.arange(6, dtype="u1").reshape(2, 3)
    np.save(tmp_path / "a.npy", data)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["d"] = data
    description = FilesetDescription(
        axes="yx", shape=(2, 3), dtype="u1", block_shape=(2, 2), block_file_name_format="b{roiString}.h5/d"
    )
    with BlockwiseFileset.create(tmp_path / "x.json", description) as fileset:
        fileset.write(Roi((0, 0), (2, 3)), data)
    for text in ("a.npy", "f.h5/d", "x.json"):
        volume = open_volume(text, base_dir=tmp_path)
        np.testing.assert_array_equal(volume.read(Roi((0, 0), (2, 3))), data)
        volume.close()


def test_what_is_not_there_is_named(tmp_path):
    (tmp_path / "dir.npy").mkdir()
    (tmp_path / "garbage.h5").write_bytes(b"nothing")
    for text in ("a.npy", "f.h5/d", "x.json", "dir.npy"):
        with pytest.raises(JobError, match=text.split("/")[0]):
            open_volume(text, base_dir=tmp_path)
    with pytest.raises(StorageError, match="garbage"):
        open_volume("garbage.h5/d", base_dir=tmp_path)
