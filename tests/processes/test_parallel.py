"""Volumes that several processes read and write."""

import gc
import os
import threading

import h5py
import numpy as np
import psutil
import pytest

from blockmill import BlockwiseFileset, Engine, FilesetDescription, ParallelVolume, Roi
from blockmill.client.library import parallel
from blockmill.shared.errors import CorruptBlock, MissingBlock, StorageError
from blockmill.shared.volumes.conformance import VolumeTests, sample
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume


@pytest.fixture(scope="module")
def engine():
    with Engine(2) as engine:
        yield engine


@pytest.fixture(autouse=True)
def _all_by_workers(monkeypatch):
    monkeypatch.setattr(parallel, "_LOCAL_BYTES", 0)
    monkeypatch.setattr(parallel, "_LEAST_TASK_BYTES", 1)


def fileset(folder, data, axes="zyx", block=None):
    block = block or tuple(min(4, n) for n in data.shape)
    description = FilesetDescription(
        name="v",
        axes=axes,
        shape=data.shape,
        dtype=data.dtype,
        block_shape=block,
        block_file_name_format="b-{roiString}.h5/v",
    )
    made = BlockwiseFileset.create(folder / "v.json", description)
    made.write(Roi.from_shape(data.shape), data)
    return made


class _ByWorkers(VolumeTests):
    @pytest.fixture(autouse=True)
    def _engine(self, engine):
        self.engine = engine


class TestFileset(_ByWorkers):
    def make(self, directory, data, axes):
        return ParallelVolume(fileset(directory, data, axes).address, engine=self.engine)

    def write(self, volume, roi, data):
        volume.write(roi, data, status="all")


class TestFilesetInManyPieces(TestFileset):
    @pytest.fixture(autouse=True)
    def _small_pieces(self, monkeypatch):
        monkeypatch.setattr(parallel, "_STAGE_BYTES", 1000)


class TestOneFile(_ByWorkers):
    writable = False

    def make(self, directory, data, axes):
        made = Hdf5Volume.create(directory / "v.h5", "a/b", data.shape, data.dtype, axes=axes)
        made.write(Roi.from_shape(data.shape), data)
        made.close()
        return ParallelVolume(str(directory / "v.h5/a/b"), engine=self.engine)


def test_any_part_of_a_target_is_filled_in_place_and_written_from(tmp_path, engine, monkeypatch):
    data = sample((9, 14, 11), "int32")
    volume = ParallelVolume(fileset(tmp_path, data).address, engine=engine)
    monkeypatch.setattr(volume, "_through_stages", None)  # nothing may be copied
    target = volume.target((20, 30, 40))
    part = target[2:18:2, 3:16, 5:27:2]
    assert volume.read(Roi((1, 1, 0), (9, 14, 11)), out=part) is part
    np.testing.assert_array_equal(part, data[1:, 1:])
    assert target.sum() == data[1:, 1:].sum()
    part += 1
    volume.write(Roi((1, 1, 0), (9, 14, 11)), part, status="all")
    data[1:, 1:] += 1
    wide = volume.target(dtype="float64")
    np.testing.assert_array_equal(volume.read(Roi.from_shape(data.shape), out=wide), data)


def test_the_memory_of_a_target_goes_with_its_last_array(tmp_path, engine, wait_until):
    volume = ParallelVolume(fileset(tmp_path, sample((9, 14, 11), "int32")).address, engine=engine)
    target = volume.target()
    volume.read(Roi.from_shape(volume.shape), out=target)
    workers = [psutil.Process(info.pid) for info in engine.view.workers]
    maps = len(_memfds(workers))
    kept = target[1:2]
    del target
    gc.collect()
    assert volume.read(Roi((1, 0, 0), (2, 14, 11)), out=kept) is kept
    del kept
    gc.collect()
    wait_until(lambda: len(_memfds(workers)) < maps, "the workers to let go of the target")


def _memfds(workers):
    return [m for w in workers for m in w.memory_maps(grouped=False) if "memfd:blockmill" in m.path]


def test_errors_come_as_what_they_are(tmp_path, engine):
    made = fileset(tmp_path, sample((9, 14, 11), "int32"))
    volume = ParallelVolume(made.address, engine=engine)
    made.set_block_status((4, 8, 4), False)
    with pytest.raises(MissingBlock, match="not marked available") as caught:
        volume.read(Roi.from_shape(volume.shape))
    assert caught.value.block_start == (4, 8, 4)
    made.set_block_status((4, 8, 4), True)
    path = made.block_file((8, 0, 0))
    with open(path, "r+b") as file:
        file.truncate(100)
    with pytest.raises(CorruptBlock, match=r"Delete this file"):
        volume.read(Roi.from_shape(volume.shape), out=volume.target())
    os.remove(path)
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["x"] = np.zeros((4, 4))
    one = ParallelVolume(str(tmp_path / "one.h5/x"), engine=engine)
    with pytest.raises(StorageError, match="is one file"):
        one.write(Roi((0, 0), (4, 4)), np.zeros((4, 4)))
    one.close()


def test_a_worker_that_is_killed_costs_a_moment_and_no_voxel(tmp_path, wait_until):
    data = sample((40, 40, 40), "uint16")
    address = fileset(tmp_path, data).address
    whole = Roi.from_shape(data.shape)
    with ParallelVolume(address, workers=2) as volume:
        target = volume.target()
        volume.read(whole, out=target)
        wait_until(lambda: len([i for i in volume._engine.view.workers if i.pid]) == 2, "the workers")
        victim = psutil.Process(volume._engine.view.workers[0].pid)
        target[...] = 0
        reader = threading.Thread(target=volume.read, args=(whole, target))
        reader.start()
        while reader.is_alive() and not target.any():
            pass
        victim.kill()
        reader.join()
        np.testing.assert_array_equal(target, data)
        np.testing.assert_array_equal(volume.read(whole), data)


def test_several_threads_use_one_volume(tmp_path, engine):
    data = sample((16, 20, 20), "uint16")
    volume = ParallelVolume(fileset(tmp_path, data).address, engine=engine)
    found = {}

    def read(z):
        found[z] = volume.read(Roi((z, 0, 0), (z + 4, 20, 20)))

    threads = [threading.Thread(target=read, args=(z,)) for z in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for z in range(12):
        np.testing.assert_array_equal(found[z], data[z : z + 4])
