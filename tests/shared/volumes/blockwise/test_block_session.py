"""Many small writes into one block: in memory until the end, then one file."""

import multiprocessing
import os
import signal

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import LockLost, LockTimeout, OutOfBounds, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.conformance import sample

SHAPE, BLOCK = (40, 50, 60), (16, 16, 32)
START = (16, 32, 32)
CORNER = Roi(START, (32, 48, 60))
LAYOUTS = {
    "contiguous": {},
    "gzip": {"chunks": (8, 8, 8), "compression": "gzip", "compression_opts": 1},
    "lzf": {"chunks": (8, 16, 8), "compression": "lzf"},
}


def make(folder, **more):
    options = {
        "lock_timeout_s": more.pop("lock_timeout_s", 10.0),
        "durability": more.pop("durability", "none"),
    }
    options["allow_pickle"] = more.get("dtype") == "object"
    description = FilesetDescription(
        **{"axes": "zyx", "shape": SHAPE, "dtype": "u2", "block_shape": BLOCK,
           "block_file_name_format": "b{roiString}.h5/volume/data", **more}
    )  # fmt: skip
    return BlockwiseFileset.create(folder / "x.json", description, **options)


def boxes(within, count=30, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        ends = [
            np.sort(rng.choice(np.arange(a, b + 1), 2, replace=False)) for a, b in zip(*within, strict=True)
        ]
        roi = Roi(*zip(*ends, strict=True))
        yield roi, rng.integers(1, 9999, roi.shape).astype("u2")


def files(fileset):
    folder = fileset.dataset_directory(START)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


@pytest.mark.parametrize("before", ["nothing", "part", "whole"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("durability", ["none", "block"])
def test_what_was_written_is_there_afterwards_and_the_rest_stays(tmp_path, layout, before, durability):
    fileset, expected = make(tmp_path, durability=durability, **LAYOUTS[layout]), np.zeros(SHAPE, "u2")
    if before != "nothing":
        roi = CORNER if before == "whole" else Roi(START, (20, 40, 40))
        expected[roi.to_slice()] = sample(roi.shape, "uint16")
        fileset.write(roi, expected[roi.to_slice()])
    with fileset.block_session(START) as block:
        for roi, voxels in boxes(CORNER):
            block.write(roi, voxels)
            expected[roi.to_slice()] = voxels
            np.testing.assert_array_equal(block.read(), expected[CORNER.to_slice()])
            np.testing.assert_array_equal(block.read(roi), voxels)
    assert fileset.block_status(START) == (before == "whole" or bool((expected[CORNER.to_slice()] > 0).all()))
    fileset.set_block_status(START, True)
    np.testing.assert_array_equal(fileset.read(CORNER), expected[CORNER.to_slice()])
    with h5py.File(fileset.block_file(START)) as file:
        np.testing.assert_array_equal(file["volume/data"], expected[CORNER.to_slice()])
        assert file["volume/data"].compression == LAYOUTS[layout].get("compression")
    assert fileset.verify_block(START) is None
    assert not [name for name in files(fileset) if "partial" in name or "lock" in name]


@pytest.mark.parametrize(
    ("status", "parts", "available"),
    [("whole", 2, True), ("whole", 1, False), ("all", 1, True), ("none", 2, False), ("all", 0, False)],
)
def test_the_block_is_available_if_all_that_shows_was_written(tmp_path, status, parts, available):
    fileset = make(tmp_path, view_shape=(30, 50, 58))
    shown = fileset.block_roi(START)
    halves = [Roi(shown.start, (24, 48, 58)), Roi((24, 32, 32), shown.stop)]
    with fileset.block_session(START, status=status) as block:
        assert block.roi == shown
        for half in halves[:parts]:
            block.write(half, np.ones(half.shape, "u2"))
    assert fileset.block_status(START) == available


def test_a_block_that_was_available_stays_so_and_loses_nothing_else(tmp_path):
    fileset = make(tmp_path)
    fileset.write(CORNER, sample(CORNER.shape, "uint16"))
    with fileset.open_block_file(START, writable=True) as file:
        file["more"] = np.arange(5)
        file["volume/data"].attrs["note"] = "mine"
    with fileset.block_session(START) as block:
        block.write(CORNER, np.full(CORNER.shape, 3, "u2"))
    assert fileset.verify_block(START) is None
    with fileset.open_block_file(START) as file:
        np.testing.assert_array_equal(file["more"], np.arange(5))
        assert file["volume/data"].attrs["note"] == "mine"
        assert (file["volume/data"][...] == 3).all()


def test_a_session_that_fails_or_writes_nothing_changes_nothing(tmp_path):
    fileset = make(tmp_path)
    with pytest.raises(ZeroDivisionError), fileset.block_session(START) as block:
        block.write(CORNER, np.ones(CORNER.shape, "u2"))
        raise ZeroDivisionError
    with fileset.block_session(START):
        pass
    assert files(fileset) == []
    fileset.write(CORNER, sample(CORNER.shape, "uint16"))
    before = files(fileset), os.stat(fileset.block_file(START))
    with pytest.raises(FileNotFoundError), fileset.block_session(START) as block:  # not told as ours
        block.write(CORNER, np.ones(CORNER.shape, "u2"))
        (tmp_path / "gone").read_bytes()
    with fileset.block_session(START):
        pass
    assert (files(fileset), os.stat(fileset.block_file(START)).st_ino) == (before[0], before[1].st_ino)
    assert fileset.verify_block(START) is None


def test_others_wait_and_read_the_old_block_meanwhile(tmp_path):
    fileset = make(tmp_path, lock_timeout_s=0.05)
    old = sample(CORNER.shape, "uint16")
    fileset.write(CORNER, old)
    with fileset.block_session(START) as block:
        block.write(CORNER, old + 1)
        np.testing.assert_array_equal(fileset.read(CORNER), old)
        assert fileset.is_block_locked(START)
        with pytest.raises(LockTimeout):
            fileset.write(CORNER, old)
        with pytest.raises(LockTimeout), fileset.block_session(START):
            pass
        fileset.write(Roi((0, 0, 0), BLOCK), np.ones(BLOCK, "u2"))  # another block
    np.testing.assert_array_equal(fileset.read(CORNER), old + 1)


def test_a_lock_that_is_taken_away_leaves_the_old_block(tmp_path):
    fileset = make(tmp_path)
    old = sample(CORNER.shape, "uint16")
    fileset.write(CORNER, old)
    with pytest.raises(LockLost), fileset.block_session(START) as block:
        block.write(CORNER, old + 1)
        os.unlink(f"{fileset.block_file(START)}.lock")
    np.testing.assert_array_equal(fileset.read(CORNER), old)


def _write_and_die(path):
    with BlockwiseFileset(path, "a").block_session(START) as block:
        block.write(CORNER, np.full(CORNER.shape, 5, "u2"))
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_in_a_session_leaves_the_old_block(tmp_path):
    fileset = make(tmp_path)
    old = sample(CORNER.shape, "uint16")
    fileset.write(CORNER, old)
    process = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(fileset.address,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    np.testing.assert_array_equal(fileset.read(CORNER), old)
    with fileset.block_session(START) as block:  # at once: the lock of the dead is taken over
        block.write(CORNER, old + 2)
    np.testing.assert_array_equal(fileset.read(CORNER), old + 2)


def test_a_view_of_an_offset_counts_as_the_view_does(tmp_path):
    fileset = make(tmp_path, view_origin=(16, 16, 0))
    with fileset.block_session((0, 16, 32), status="all") as block:
        block.write(np.s_[2:4, 17:20, 40], np.full((2, 3, 1), 7, "u2"))
    np.testing.assert_array_equal(fileset.read(Roi((2, 17, 40), (4, 20, 41))), np.full((2, 3, 1), 7))
    with h5py.File(fileset.block_file((0, 16, 32))) as file:
        assert file["volume/data"][2, 1, 8] == 7
        assert int(file["volume/data"][...].sum()) == 7 * 6


def test_python_objects_are_kept_as_by_a_write(tmp_path):
    fileset = make(tmp_path, dtype="object")
    things = np.empty((1, 2, 1), object)
    things[0, :, 0] = ["a", {"b": 1}]
    for at in ((16, 32, 32), (17, 33, 33)):
        with fileset.block_session(START, status="all") as block:
            block.write(Roi(at, tuple(a + n for a, n in zip(at, things.shape, strict=True))), things)
    found = fileset.read(CORNER)
    assert (found[0, 0, 0], found[0, 1, 0], found[1, 2, 1], found[5, 5, 5]) == ("a", {"b": 1}, {"b": 1}, None)


def test_what_does_not_belong_is_refused(tmp_path):
    fileset = make(tmp_path)
    with pytest.raises(OutOfBounds, match="no block"):
        fileset.block_session((1, 2, 3))
    with pytest.raises(ValueError, match="whole"):
        fileset.block_session(START, status="some")
    with fileset.block_session(START) as block:
        for roi in (Roi((15, 32, 32), (17, 34, 34)), Roi((16, 32, 32), (17, 34, 99)), Roi(START, START)):
            with pytest.raises(OutOfBounds):
                block.write(roi, np.ones(roi.shape, "u2"))
        with pytest.raises(OutOfBounds):
            block.write(Roi((0, 0), (1, 1)), np.ones((1, 1), "u2"))
        with pytest.raises(ValueError, match="float64"):
            block.write(CORNER, np.ones(CORNER.shape))
        with pytest.raises(ValueError, match="shape"):
            block.write(CORNER, np.ones((1, 1, 1), "u2"))
        with pytest.raises(StorageError, match="already"):
            block.__enter__()
    with pytest.raises(StorageError, match="not open"):
        block.write(CORNER, np.ones(CORNER.shape, "u2"))
    with pytest.raises(StorageError, match="reading only"):
        BlockwiseFileset(fileset.address).block_session(START)
