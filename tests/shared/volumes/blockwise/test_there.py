"""What concerns all blocks of a fileset takes as long as there are blocks, not as there might be."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

EDGE = 1 << 16
STARTS = [(0, 0, 64), (64, 0, 0), (EDGE - 64, EDGE - 64, EDGE - 64)]


def described(shape, block_shape, **fields):
    axes = "tzyx"[-len(shape) :]
    return FilesetDescription(
        name="v",
        axes=axes,
        shape=shape,
        dtype="uint8",
        block_shape=block_shape,
        dataset_root_dir="blocks",
        block_file_name_format="b{roiString}.h5/v",
        **fields,
    )


@pytest.fixture
def huge(tmp_path):
    """A thousand million possible blocks, of which three are there."""
    fileset = BlockwiseFileset.create(tmp_path / "v.json", described((EDGE,) * 3, (64,) * 3))
    for start in STARTS:
        stop = tuple(n + 64 for n in start)
        fileset.write(Roi(start, stop), np.full((64,) * 3, 7, np.uint8))
    return fileset


def locked(fileset):
    for start in STARTS:
        Path(f"{fileset.block_file(start)}.lock").touch()


def test_removing_walks_the_blocks_that_are_there(huge, tmp_path):
    huge.remove_blocks()
    assert [path.name for path in tmp_path.iterdir()] == ["v.json"]


def test_a_removal_may_be_ended_at_each_block(huge, tmp_path):
    left = iter([True, False])

    def check():
        if not next(left):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        huge.remove_blocks(check=check)
    assert [huge.block_status(start) for start in STARTS] == [False, True, True]


def test_locks_and_leftovers_are_found_where_they_are(huge):
    locked(huge)
    found = huge.purge_locks()
    assert [lock.block_start for lock in found] == STARTS
    for start in STARTS:
        Path(f"{huge.block_file(start)}.partial-1-2").touch()
    assert huge.sweep() == 3


def test_files_of_others_are_no_blocks(huge, tmp_path):
    blocks = tmp_path / "blocks"
    for name in ("z_1", "z_+0000064", "z_٠٠٠٠٠٠٦٤", "z_00000063", "y_00000000", "z_00000128"):
        (blocks / name).touch()
    huge.remove_blocks()
    assert len(list(blocks.iterdir())) == 6


def test_a_folder_that_is_no_block_of_the_view_stays(tmp_path):
    view = {"view_origin": (4, 0), "view_shape": (4, 8)}
    whole = BlockwiseFileset.create(tmp_path / "v.json", described((8, 8), (2, 4)))
    whole.write(Roi((0, 0), (8, 8)), np.ones((8, 8), np.uint8))
    part = BlockwiseFileset.create(tmp_path / "part.json", described((8, 8), (2, 4), **view))
    part.remove_blocks()
    starts = list(itertools.product(range(0, 8, 2), (0, 4)))
    assert [whole.block_status(start) for start in starts] == [start[0] < 4 for start in starts]


rois = st.tuples(*[st.tuples(st.integers(0, 8), st.integers(1, 4)) for _ in range(2)])


@given(rois)
def test_a_roi_removes_the_blocks_that_it_touches(tmp_path_factory, ends):
    fileset = BlockwiseFileset.create(tmp_path_factory.mktemp("v") / "v.json", described((9, 9), (2, 4)))
    fileset.write(Roi((0, 0), (9, 9)), np.ones((9, 9), np.uint8))
    roi = Roi(tuple(a for a, _ in ends), tuple(min(a + n, 9) for a, n in ends))
    fileset.remove_blocks(roi)
    for start in itertools.product(range(0, 9, 2), range(0, 9, 4)):
        touched = all(
            a < end and a + n > begin
            for a, n, begin, end in zip(start, (2, 4), roi.start, roi.stop, strict=True)
        )
        assert fileset.block_status(start) is not touched
