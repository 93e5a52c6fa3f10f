"""What a program may give as a source, and what it is told of anything else."""

import io
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError, StorageError
from blockmill.shared.volumes.base.memory import MemoryVolume
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5.datasets import glob_datasets, list_datasets
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume
from blockmill.shared.volumes.sources import address_of, as_volume

DATA = sample((6, 7, 8), "uint16")


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "ä f.h5", "w") as file:
        file["volume/data"] = DATA
        file["volume/data"].attrs["axes"] = "tyx"
        file["flat"] = DATA[0]
    return tmp_path / "ä f.h5"


def test_an_open_dataset_is_read_from_its_file_by_name(path):
    with h5py.File(path) as file:
        volume = as_volume(file["volume/data"])
        assert isinstance(volume, Hdf5Volume)
        assert (volume.address, volume.axes) == (f"{path}/volume/data", "tyx")
        assert address_of(file["volume/data"]) == f"{path}/volume/data"
    np.testing.assert_array_equal(as_volume(volume.address).read(), DATA)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_a_source(path, kind):
    np.testing.assert_array_equal(as_volume(kind(path / "volume" / "data")).read(), DATA)


def test_a_dataset_behind_an_external_link_is_read_from_the_file_that_holds_it(path, tmp_path):
    with h5py.File(tmp_path / "outer.h5", "w") as outer:
        outer["linked"] = h5py.ExternalLink(str(path), "/volume/data")
    with h5py.File(tmp_path / "outer.h5") as outer:
        assert as_volume(outer["linked"]).address == f"{path}/volume/data"


@pytest.mark.parametrize("driver", ["core", "file object"])
def test_a_dataset_in_memory_is_copied(driver):
    how = {"driver": "core", "backing_store": False} if driver == "core" else {}
    with h5py.File("in memory" if how else io.BytesIO(), "w", **how) as file:
        file["d"] = DATA
        file["d"].attrs["axes"] = "tyx"
        volume = as_volume(file["d"])
        assert isinstance(volume, MemoryVolume)
        assert volume.axes == "tyx"
        with pytest.raises(JobError, match="in memory"):
            address_of(file["d"])
    np.testing.assert_array_equal(volume.read(), DATA)


def test_a_file_that_is_open_for_writing_is_told_as_that(path):
    with h5py.File(path, "r+") as file, pytest.raises(JobError, match="open for writing in this program"):
        as_volume(file["volume/data"])


def test_what_was_written_without_a_lock_is_in_the_file_before_others_read(path):
    code = "import h5py, sys; print(h5py.File(sys.argv[1], 'r', locking=False)['volume/data'][0].tolist())"
    with h5py.File(path, "r+", locking=False) as file:
        file["volume/data"][0] = 9
        assert isinstance(as_volume(file["volume/data"]), Hdf5Volume)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
    assert done.stdout.strip() == str(np.full((7, 8), 9).tolist())


def test_a_swmr_writer_is_told_how_its_file_is_read(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w", libver="latest") as file:
        dataset = file.create_dataset("d", data=DATA, chunks=(1, 7, 8), maxshape=(None, 7, 8))
        file.swmr_mode = True
        with pytest.raises(JobError, match="live: true"):
            as_volume(dataset)


def test_a_closed_dataset_is_told(path):
    with h5py.File(path) as file:
        dataset = file["volume/data"]
    with pytest.raises(JobError, match="closed"):
        as_volume(dataset)


def test_a_file_that_was_replaced_is_no_source(path):
    with h5py.File(path) as file:
        os.replace(path, path.with_suffix(".old"))
        with pytest.raises(StorageError, match=r"f\.h5"):
            as_volume(file["volume/data"])
        with h5py.File(path, "w") as other:
            other["volume/data"] = DATA * 0
        with pytest.raises(JobError, match="was replaced"):
            as_volume(file["volume/data"])


def test_a_relative_name_is_no_other_file_after_a_change_of_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with h5py.File(path.name) as file:
        (tmp_path / "sub").mkdir()
        monkeypatch.chdir(tmp_path / "sub")
        with h5py.File(path.name, "w") as other:
            other["volume/data"] = DATA * 0
        with pytest.raises(JobError, match="another folder"):
            as_volume(file["volume/data"])


class Array:
    """Like an array of dask or zarr."""

    shape, dtype = (2, 3), np.dtype("u1")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Array(), r"Array is no source, as workers are other processes.*numpy\.asarray"),
        ([1, 2], "a list is no source; give a volume, a numpy array, an h5py dataset, or an address"),
        (None, "a NoneType is no source"),
        (np.ma.masked_array([1, 2], [True, False]), r"source\.filled\(0\)"),
    ],
)
def test_what_is_no_source_is_told_with_what_is(source, words):
    with pytest.raises(JobError, match=words):
        as_volume(source)


def test_the_article_is_right_before_vowels():
    kind = type("Array", (), {"shape": (2,), "dtype": "u1", "__module__": "exact.core"})
    with pytest.raises(JobError, match=r"^an exact\.Array is no source"):
        as_volume(kind())


def test_a_file_or_group_is_told_to_hold_datasets(path):
    with h5py.File(path) as file:
        for item in (file, file["volume"]):
            with pytest.raises(JobError, match="holds datasets"):
                as_volume(item)


@pytest.mark.parametrize("package", ["dask.array", "zarr"])
def test_arrays_of_others_are_told_by_their_own_name(package):
    module = pytest.importorskip(package)
    array = module.ones((4, 4))
    with pytest.raises(JobError, match=f"^a {package.split('.')[0]}.Array is no source"):
        as_volume(array)
    np.testing.assert_array_equal(as_volume(np.asarray(array)).read(), np.ones((4, 4)))


def test_an_open_file_or_group_is_listed(path):
    names = ["/flat", "/volume/data"]
    with h5py.File(path) as file:
        assert list_datasets(file) == list_datasets(path)
        assert [item.name for item in list_datasets(file)] == names
        assert [item.name for item in list_datasets(file["volume"])] == ["/volume/data"]
        assert glob_datasets(file, "volume/*") == ["/volume/data"]
        assert file["volume"][glob_datasets(file["volume"], "*")[0]].shape == DATA.shape
        group = file["volume"]
    with pytest.raises(StorageError, match="closed"):
        list_datasets(group)
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        file["a/b"] = DATA
        assert [item.name for item in list_datasets(file)] == ["/a/b"]
