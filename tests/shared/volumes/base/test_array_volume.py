"""Volumes in the hands of numpy, dask, and a viewer; what each kind must do is in conformance.py."""

import pickle

import h5py
import numpy as np
import pytest

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.base.memory import MemoryVolume
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume
from blockmill.shared.volumes.registry import open_volume

DATA = sample((20, 30, 40), "uint16")


class Counting(MemoryVolume):
    """Notes the shapes of what is read."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.boxes = []

    def read(self, roi=None, out=None):
        voxels = super().read(roi, out)
        self.boxes.append(voxels.shape)
        return voxels


@pytest.fixture
def fileset(tmp_path):
    description = FilesetDescription(
        axes="zyx",
        shape=DATA.shape,
        dtype="u2",
        block_shape=(8, 16, 16),
        block_file_name_format="b{roiString}.h5/d",
    )
    with BlockwiseFileset.create(tmp_path / "x.json", description) as made:
        made.write(None, DATA)
        yield made


def test_gaps_between_single_planes_are_not_read():
    volume = Counting(DATA)
    np.testing.assert_array_equal(volume[::7], DATA[::7])
    assert volume.boxes == [(1, 30, 40)] * 3


def test_with_gaps_each_storage_block_is_read_once():
    volume = Counting(DATA, block_shape=(8, 16, 16))
    np.testing.assert_array_equal(volume[1:19:2, ::3, 5], DATA[1:19:2, ::3, 5])
    assert volume.boxes == [(7, 28, 1), (7, 28, 1), (1, 28, 1)]


def test_of_an_empty_selection_nothing_is_read():
    volume = Counting(DATA)
    assert volume[3:3, 1].shape == (0, 40)
    assert volume.boxes == []


def test_dask_computes_with_it(fileset):
    array = pytest.importorskip("dask.array")
    lazy = array.from_array(fileset, chunks=fileset.block_shape)
    assert (lazy.shape, lazy.dtype, lazy.chunksize) == (DATA.shape, DATA.dtype, (8, 16, 16))
    assert int(lazy.sum().compute(scheduler="threads")) == int(DATA.sum())
    np.testing.assert_array_equal(lazy[::-3, 4, 1:30:4].compute(scheduler="sync"), DATA[::-3, 4, 1:30:4])


def test_a_viewer_gets_its_planes(fileset):
    """What napari asks of the data of an image layer, step by step."""
    shape, ndim, dtype = fileset.shape, fileset.ndim, np.dtype(fileset.dtype)
    assert (len(shape), dtype) == (ndim, DATA.dtype)
    for z in (0, 7, 19):
        plane = np.asarray(fileset[(np.int64(z), slice(None), slice(None))])
        np.testing.assert_array_equal(plane, DATA[z])
    thumbnail = np.asarray(fileset[tuple(slice(None, None, 8) for _ in range(ndim))])
    np.testing.assert_array_equal(thumbnail, DATA[::8, ::8, ::8])
    assert (np.min(fileset[3]), np.max(fileset[3])) == (DATA[3].min(), DATA[3].max())


def test_numpy_of_both_majors_may_ask_for_the_array():
    volume = MemoryVolume(DATA)
    assert volume.__array__().dtype == "u2"  # before 2.0
    assert volume.__array__("f4").dtype == "f4"
    np.testing.assert_array_equal(volume.__array__(dtype=None, copy=None), DATA)
    copied = volume.__array__(copy=True)
    copied[...] = 0
    assert volume[0, 0, 0] == DATA[0, 0, 0]


def test_single_voxels_are_numbers_of_numpy():
    voxel = MemoryVolume(DATA)[1, 2, 3]
    assert type(voxel) is np.uint16
    assert voxel == DATA[1, 2, 3]


def test_a_write_takes_a_slicing(fileset):
    fileset.write(np.s_[0:8, 0:16, 0:16], np.full((8, 16, 16), 7, "u2"))
    assert (fileset.read(Roi((0, 0, 0), (8, 16, 16))) == 7).all()


@pytest.mark.parametrize("kind", ["npy", "hdf5", "fileset"])
def test_a_volume_goes_to_another_process_by_its_file(tmp_path, monkeypatch, fileset, kind):
    np.save(tmp_path / "a.npy", DATA)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["d"] = DATA
    monkeypatch.chdir(tmp_path)
    volume = open_volume({"npy": "a.npy", "hdf5": "a.h5/d", "fileset": "x.json"}[kind])
    pickled = pickle.dumps(volume)
    assert len(pickled) < 4000 < DATA.nbytes
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(pickled)[...], DATA)


def test_what_is_open_for_writing_stays_in_its_process(tmp_path):
    volume = Hdf5Volume.create(tmp_path / "a.h5", "d", (3, 4), "u1")
    with volume, pytest.raises(TypeError, match="pass on its address"):
        pickle.dumps(volume)
