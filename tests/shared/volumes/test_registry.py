import re
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from blockmill.client.doctor.formats import check_formats
from blockmill.daemon.runs.run import JobRun
from blockmill.shared.errors import JobError, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job import Job
from blockmill.shared.volumes import registry
from blockmill.shared.volumes.base.format import Format, StatusFormat
from blockmill.shared.volumes.base.memory import MemoryVolume
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.registry import (
    Address,
    format_named,
    formats,
    open_volume,
    register_schema,
    split_address,
    split_input,
    unavailable,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("x.json", Address("blockwise", "x.json")),
        ("/a/x.json", Address("blockwise", "/a/x.json")),
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
    assert split_address(f"{tmp_path}/x.h5/y.json") == Address("blockwise", f"{tmp_path}/x.h5/y.json")


def test_relative_addresses_follow_the_base_directory(tmp_path):
    assert split_address("a.npy", tmp_path).file == f"{tmp_path}/a.npy"
    assert split_address("/b/a.npy", tmp_path).file == "/b/a.npy"


def test_the_home_directory_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    assert split_address("~/a.npy").file == "/home/anna/a.npy"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://bucket/in.zarr", "s3:// addresses are not supported; copy the volume to a disk, or mount it"),
        ("smb://host/in.h5/v", "smb:// addresses are not supported; copy the volume"),
        ("FILE:///data/in.npy", "FILE:// addresses are not supported; give the path of the file alone"),
        ("http://h/x.json", "http:// addresses are not supported; a volume of a web server is named by its"),
    ],
)
def test_a_scheme_is_refused_by_its_name(text, words):
    for take_apart in (split_address, split_input):
        with pytest.raises(JobError, match=words):
            take_apart(text)


@pytest.mark.parametrize("text", ["", "x", "x.tif", "v.zarr/0", "x.h5.bak/d", "a\0.npy", "x.json/y"])
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


@pytest.mark.parametrize(
    "name",
    ["f.ims", "f.nxs", "f.hdf", "f.mat", "f.nc", "f.h5ad", "f.he5", "f.cxi", "F.NPY", "f", "f.tif", "f.h5"],
)
def test_hdf5_is_known_by_its_signature_whatever_the_ending(tmp_path, name):
    voxels = np.arange(24, dtype="u2").reshape(2, 3, 4)
    (tmp_path / "x.ims").mkdir()
    path = tmp_path / "x.ims" / name
    with h5py.File(path, "w", userblock_size=512 if name == "f.mat" else 0) as file:
        file["Data Set/Level 0/d.json"] = voxels
    address = f"{path}/Data Set/Level 0/d.json"
    assert split_input(address) == Address("hdf5", str(path), "Data Set/Level 0/d.json")
    np.testing.assert_array_equal(open_volume(address).read(Roi.from_shape((2, 3, 4))), voxels)
    with pytest.raises(JobError, match=r"the file has Data Set/Level 0/d\.json"):
        open_volume(str(path))


def test_the_ending_of_npy_counts_in_any_case(tmp_path):
    voxels = np.arange(6, dtype="u1").reshape(2, 3)
    with (tmp_path / "A.NPY").open("wb") as file:
        np.save(file, voxels)
    np.testing.assert_array_equal(open_volume(str(tmp_path / "A.NPY")).read(Roi.from_shape((2, 3))), voxels)


def test_what_has_neither_a_known_ending_nor_the_signature_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"text" + bytes(600))
    (tmp_path / "folder").mkdir()
    with pytest.raises(JobError, match="no address of a known kind"):
        open_volume(f"{tmp_path}/a.txt")
    with pytest.raises(JobError, match=r"a\.txt/x' is no address"):
        open_volume(f"{tmp_path}/a.txt/x")
    with pytest.raises(JobError, match=r"gone\.tif does not exist"):
        open_volume(f"{tmp_path}/gone.tif")
    with pytest.raises(JobError, match="folder is a folder"):
        open_volume(f"{tmp_path}/folder")


def test_for_outputs_the_ending_decides(tmp_path):
    with h5py.File(tmp_path / "f.ims", "w") as file:
        file["v"] = np.zeros(3)
    with pytest.raises(JobError, match="no address of a known kind"):
        split_address(f"{tmp_path}/f.ims/v")


# -- installed formats --------------------------------------------------------------


class Shadow(Format):
    """Takes what begins like a file of numpy, and what ends in .shadow."""

    name = "shadow"
    spelling = "'a.shadow'"

    def parse(self, path):
        return Address(self.name, path) if path.endswith((".shadow", ".npy")) else None

    def recognise(self, look):
        return Address(self.name, look.path) if look.head.startswith(b"\x89HDF") else None

    def open(self, at):
        return MemoryVolume(np.zeros((2, 3), "u1"), address=str(at))


@pytest.fixture
def installed(monkeypatch):
    """Makes entry points known, as installed packages have them."""

    def install(**values):
        points = {name: EntryPoint(name, value, registry.GROUP) for name, value in values.items()}
        monkeypatch.setattr(registry, "_installed", lambda: points)
        registry._loaded.cache_clear()

    monkeypatch.setattr("builtins.shadow_formats", SimpleNamespace(Shadow=Shadow), raising=False)
    yield install
    registry._loaded.cache_clear()


def test_an_installed_format_is_asked_like_the_others(installed, tmp_path):
    installed(shadow="builtins:shadow_formats.Shadow")
    (tmp_path / "a.shadow").write_bytes(b"x")
    assert split_address("a.shadow") == Address("shadow", "a.shadow")
    assert open_volume(str(tmp_path / "a.shadow")).shape == (2, 3)
    with pytest.raises(JobError, match=r"'a\.npy', .* and 'a\.shadow'$"):
        split_address("x.tif")
    with pytest.raises(NotImplementedError):
        format_named("shadow").create(Address("shadow", "a.shadow"), None)
    with pytest.raises(JobError, match="can be read, and not written"):
        format_named("shadow").check_options(Address("shadow", "a.shadow"), None)


def test_an_address_that_two_formats_take_is_refused_with_both(installed, tmp_path):
    installed(shadow="builtins:shadow_formats.Shadow")
    with pytest.raises(JobError, match="of the formats npy and shadow"):
        split_address("a.npy")
    with h5py.File(tmp_path / "a.bin", "w") as file:
        file["v"] = np.zeros(3)
    with pytest.raises(JobError, match="of the formats hdf5 and shadow"):
        split_input(f"{tmp_path}/a.bin/v")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:Format", "the format broken .* can't be imported: ModuleNotFoundError"),
        ("builtins:shadow_formats.Shadow", "no subclass of Format with that name"),
        ("math:pi", "no subclass of Format"),
    ],
)
def test_a_format_that_can_not_be_imported_harms_nothing_and_is_told(installed, value, words, tmp_path):
    installed(broken=value)
    (reason,) = unavailable().values()
    assert re.search(words, reason)
    assert [finding.text for finding in check_formats()] == [reason]
    assert "broken" not in {one.name for one in formats()}
    assert split_address("a.npy") == Address("npy", "a.npy")
    with pytest.raises(JobError, match=words):
        split_address("a.broken")
    with pytest.raises(JobError, match=words):
        format_named("broken")


def test_all_formats_say_what_they_are():
    assert [one.name for one in formats()][:3] == ["blockwise", "hdf5", "npy"]
    for one in formats():
        assert one.writers in (None, "workers", "merger")
        assert isinstance(one, StatusFormat) == one.keeps_status
    with pytest.raises(JobError, match="there is no format tiff; known are blockwise, hdf5, npy"):
        format_named("tiff")


def test_a_job_does_not_read_what_this_process_alone_can_open(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_described", {})
    register_schema("noise", lambda path: MemoryVolume(np.zeros((2, 3), "u1")))
    (tmp_path / "other.json").write_text('{"_schema_name": "noise", "_schema_version": 1.0}')
    job = Job.of({"input": f"{tmp_path}/other.json", "output": f"{tmp_path}/o.npy", "operation": "copy"})
    with pytest.raises(JobError, match=r"register_schema\('noise'\), in this process alone"):
        JobRun(job, 1)
