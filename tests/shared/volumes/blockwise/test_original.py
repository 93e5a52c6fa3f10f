"""The named defects of the original's filesets, each by what it does to who meets it."""

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError, LockTimeout, MissingBlock, OutOfBounds
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.locking.filelock import FileLock
from blockmill.shared.volumes import registry
from blockmill.shared.volumes.base.memory import MemoryVolume
from blockmill.shared.volumes.blockwise.description import FilesetDescription, write_description
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.registry import open_volume, register_schema

WHOLE = FilesetDescription(
    axes="zyx",
    shape=(8, 9, 10),
    dtype="u2",
    block_shape=(4, 4, 4),
    block_file_name_format="b-{roiString}.h5/volume/data",
    dataset_root_dir="blocks",
)
DATA = sample((8, 9, 10)).astype("u2")


@pytest.fixture
def fileset(tmp_path):
    made = BlockwiseFileset.create(tmp_path / "v.json", WHOLE)
    made.write(Roi.from_shape(DATA.shape), DATA)
    return made


def test_a_writer_that_loses_the_race_for_a_lock_leaves_the_status(fileset):
    loser = BlockwiseFileset(fileset.address, "a", lock_timeout_s=0.01)
    with FileLock(fileset.block_file((4, 4, 4))):
        with pytest.raises(LockTimeout):
            loser.write(Roi((4, 4, 4), (8, 8, 8)), np.zeros((4, 4, 4), "u2"))
        assert fileset.block_status((4, 4, 4))
    np.testing.assert_array_equal(fileset.read(Roi.from_shape(DATA.shape)), DATA)


def clip_as_the_original(fileset, view):
    """Rewrite the blocks of a view as the original writes them: full name, voxels clipped to the view."""
    for block in fileset.grid.touching(view):
        seen = block.intersection(view)
        with h5py.File(fileset.block_file(block.start), "w") as file:
            file["volume/data"] = DATA[seen.to_slice()]


def test_blocks_that_the_original_clipped_to_a_view_are_read_through_that_view_and_mended(tmp_path, fileset):
    view = Roi((4, 0, 0), (7, 9, 6))
    clip_as_the_original(fileset, view)
    write_description(tmp_path / "view.json", replace(WHOLE, view_origin=view.start, view_shape=view.shape))
    seen = BlockwiseFileset(tmp_path / "view.json", "a")
    np.testing.assert_array_equal(seen.read(Roi.from_shape(view.shape)), DATA[view.to_slice()])
    with pytest.raises(MissingBlock, match="view that ended there") as caught:
        fileset.read(Roi((4, 0, 0), (8, 4, 4)))
    assert caught.value.block_start == (4, 0, 0)
    # Written through the view again, they have their full size: what was lost reads as 0.
    part = Roi((0, 0, 0), (1, 9, 6))
    seen.write(part, DATA[4:5, :, :6], status="all")
    wanted = DATA[4:8, :, :8].copy()
    wanted[3:], wanted[:, :, 6:] = 0, 0
    np.testing.assert_array_equal(fileset.read(Roi((4, 0, 0), (8, 9, 8))), wanted)


def test_more_blocks_are_read_and_written_than_files_may_be_open(tmp_path):
    code = f"""
import resource, numpy as np
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.blockwise.description import FilesetDescription
fileset = BlockwiseFileset.create({str(tmp_path / "v.json")!r}, FilesetDescription(
    axes="x", shape=(300,), dtype="u1", block_shape=(1,), block_file_name_format="b-{{roiString}}.h5/d"))
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
data = (np.arange(300) % 251).astype("u1")
fileset.write(Roi((0,), (300,)), data)
assert (fileset.read(Roi((0,), (300,))) == data).all()
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 64
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_file_stays_open_and_the_limit_is_nobodys_business(fileset):
    limit, before = resource.getrlimit(resource.RLIMIT_NOFILE), len(os.listdir("/proc/self/fd"))
    for mode in ("a", "r"):
        reader = BlockwiseFileset(fileset.address, mode)
        reader.read(Roi.from_shape(DATA.shape))
        assert len(os.listdir("/proc/self/fd")) == before
        reader.close()
        reader.close()
        reader.read(Roi((0, 0, 0), (1, 1, 1)))
        assert len(os.listdir("/proc/self/fd")) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limit


def test_reading_in_mode_a_locks_nothing(fileset):
    with BlockwiseFileset(fileset.address, "a") as first:
        first.read(Roi.from_shape(DATA.shape))
        assert not any(fileset.is_block_locked(block.start) for block in fileset.block_rois())


def test_voxels_come_from_and_go_to_hdf5_datasets(tmp_path, fileset):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        source = file.create_dataset("in", data=DATA[::-1].copy(), chunks=(3, 3, 3))
        fileset.write(Roi.from_shape(DATA.shape), source)
        target = file.create_dataset("out", (4, 9, 7), "f4", chunks=(3, 3, 3))
        assert fileset.read(Roi((2, 0, 3), (6, 9, 10)), target) is target
        np.testing.assert_array_equal(target[...], DATA[::-1][2:6, :, 3:])
        with pytest.raises(ValueError, match="dtype"):
            fileset.write(Roi((2, 0, 3), (6, 9, 10)), target)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (np.zeros((4, 4, 5), "u2"), "shape"),  # the original crops it
        (np.zeros((1, 4, 4), "u2"), "shape"),  # broadcasts it
        (np.zeros((4, 4, 3), "u2"), "shape"),  # breaks half way
        (np.full((4, 4, 4), 70000.7), "dtype"),  # casts it
    ],
)
def test_data_that_does_not_fit_is_refused_before_anything_is_changed(fileset, data, what):
    with pytest.raises(ValueError, match=what):
        fileset.write(Roi((0, 0, 0), (4, 4, 4)), data)
    np.testing.assert_array_equal(fileset.read(Roi.from_shape(DATA.shape)), DATA)


def test_checks_do_not_vanish_with_assertions(fileset):
    code = f"""
from blockmill.shared.errors import OutOfBounds, JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
fileset = BlockwiseFileset({fileset.address!r})
def refused(kind, call):
    try:
        call()
    except kind:
        return
    raise SystemExit("not refused")
refused(OutOfBounds, lambda: fileset.read(Roi((0, 0, 0), (9, 1, 1))))
refused(OutOfBounds, lambda: fileset.read(Roi((0, 0, 0), (0, 1, 1))))
refused(OutOfBounds, lambda: fileset.block_status((1, 0, 0)))
refused(JobError, lambda: fileset.reopen("w"))
"""
    subprocess.run([sys.executable, "-OO", "-c", code], check=True)


def test_a_block_is_told_as_the_view_shows_it(tmp_path, fileset):
    write_description(tmp_path / "view.json", replace(WHOLE, view_origin=(4, 4, 4), view_shape=(4, 5, 3)))
    view = BlockwiseFileset(tmp_path / "view.json")
    assert view.block_roi((0, 4, 0)) == Roi((0, 4, 0), (4, 5, 3))
    assert list(view.block_rois()) == [view.block_roi(block.start) for block in view.block_rois()]
    assert view.dataset_path((0, 4, 0)).endswith(
        "/blocks/z_00000004/y_00000008/x_00000004/b-([4, 8, 4], [8, 9, 8]).h5/volume/data"
    )
    for start in ((0, 3, 0), (0, 8, 0), (0, 0)):
        with pytest.raises(OutOfBounds, match="no block"):
            view.block_roi(start)


def test_reopening_needs_no_close_and_takes_modes_alone(fileset):
    fileset.reopen("r")
    assert fileset.mode == "r"
    with pytest.raises(JobError, match="mode"):
        fileset.reopen("w")
    assert fileset.mode == "r"
    fileset.reopen("a")
    fileset.write(Roi((0, 0, 0), (4, 4, 4)), np.zeros((4, 4, 4), "u2"))


def test_opening_changes_neither_the_description_nor_what_others_hold_of_it(fileset):
    before = (fileset.description, Path(fileset.address).read_text())
    again = BlockwiseFileset(fileset.address)
    assert again.description == before[0]
    assert again.description.view_origin is None
    assert Path(fileset.address).read_text() == before[1]


def test_the_schema_alone_decides_what_a_description_opens(tmp_path, fileset, monkeypatch):
    monkeypatch.setattr(registry, "_described", {})
    (tmp_path / "other.json").write_text('{"_schema_name": "noise", "_schema_version": 1.0}')
    with pytest.raises(JobError, match="noise"):
        open_volume(str(tmp_path / "other.json"))

    def opener(path):
        return MemoryVolume(np.zeros((2, 3), "u1"))

    register_schema("noise", opener)
    register_schema("noise", opener)
    assert open_volume(str(tmp_path / "other.json")).shape == (2, 3)
    assert open_volume(fileset.address).shape == DATA.shape
    for name in ("noise", "blockwise-fileset-description"):
        with pytest.raises(ValueError, match="already"):
            register_schema(name, lambda path: opener(path))
