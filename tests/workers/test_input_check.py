"""The check of stored blocks in a worker, and the numbers that the plan gives, against brute force."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from blockmill.daemon.runs.inputs.input_check import blocks_read
from blockmill.shared.errors import DamagedInput
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.reads import Reads
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.messages import engine as wire
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.workers.input_check import _begun_and_whole, input_check

SHAPE, BLOCK = (20, 14), (8, 5)
WHOLE = Roi.from_shape(SHAPE)


@pytest.fixture(params=["plain", "gzip", "chunks"])
def fileset(tmp_path, request):
    options = {"plain": {}, "gzip": {"compression": "gzip", "chunks": (4, 5)}, "chunks": {"chunks": (4, 5)}}
    description = FilesetDescription(
        axes="yx",
        shape=SHAPE,
        dtype="u2",
        block_shape=BLOCK,
        block_file_name_format="b-{roiString}.h5/volume/data",
        **options[request.param],
    )
    made = BlockwiseFileset.create(tmp_path / "a.json", description)
    made.write(WHOLE, np.arange(280, dtype="u2").reshape(SHAPE))
    return made


def checked(fileset, kept=WHOLE, read=WHOLE):
    check = input_check(wire.InputCheck(), fileset)
    unrecorded = check.before_read(kept, read)
    return unrecorded + check.after_read(kept, read, fileset.read(read))


def test_blocks_that_are_what_was_recorded_pass(fileset):
    assert checked(fileset) == 0
    assert checked(fileset) == 0  # now the files are read in the fast way


def test_a_block_file_of_another_block_is_no_pass(fileset):
    checked(fileset)
    shutil.copy(fileset.block_file((0, 0)), fileset.block_file((8, 5)))
    with pytest.raises(DamagedInput, match=r"block \[8, 5\]"):
        checked(fileset)


def test_a_byte_beside_the_voxels_counts(fileset):
    checked(fileset)
    path = Path(fileset.block_file((8, 0)))
    content = bytearray(path.read_bytes())
    content[content.index(b"axistags")] ^= 32  # the name of an attribute
    path.write_bytes(content)
    with pytest.raises(DamagedInput, match=r"block \[8, 0\]"):
        checked(fileset)


def test_a_longer_file_is_no_pass(fileset):
    with Path(fileset.block_file((0, 0))).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DamagedInput, match=r"block \[0, 0\].*bytes"):
        checked(fileset)


def test_blocks_of_another_task_or_in_part_are_left(fileset):
    checked(fileset)
    shutil.copy(fileset.block_file((0, 0)), fileset.block_file((8, 5)))
    assert checked(fileset, kept=Roi((0, 0), (8, 14)), read=Roi((0, 0), (20, 14))) == 0  # begins in another
    assert checked(fileset, kept=Roi((8, 0), (15, 14)), read=Roi((8, 0), (15, 14))) == 0  # in part
    with pytest.raises(DamagedInput):
        checked(fileset, kept=Roi((8, 0), (15, 14)), read=Roi((7, 0), (16, 14)))


def test_a_block_without_facts_is_counted(fileset):
    Path(fileset.dataset_directory((8, 5)), "STATUS.txt").write_bytes(b"")
    assert checked(fileset) == 1


def test_a_view_that_cuts_a_block_checks_its_file(tmp_path, fileset):
    description = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "view.json").write_text(json.dumps(description | {"view_shape": [20, 12]}))
    view = BlockwiseFileset(tmp_path / "view.json")
    read = Roi.from_shape((20, 12))
    assert checked(view, read, read) == 0
    shutil.copy(fileset.block_file((0, 0)), fileset.block_file((8, 10)))
    with pytest.raises(DamagedInput):
        check = input_check(wire.InputCheck(), view)
        check.before_read(read, read)
        check.after_read(read, read, np.zeros((20, 12), "u2"))


@pytest.mark.parametrize("seed", range(60))
def test_counts_agree_with_a_walk_over_all_blocks_and_tasks(seed):
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 20, 2))
    start = tuple(random.integers(0, n) for n in shape)
    stop = tuple(random.integers(a + 1, n + 1) for a, n in zip(start, shape, strict=True))
    roi, halo = Roi(start, stop), tuple(random.integers(0, 5, 2))
    stored = BlockGrid(Roi.from_shape(shape), tuple(random.integers(1, 9, 2)))
    reads = Reads(roi, tuple(random.integers(1, 4, 2)), halo)
    tasks = BlockGrid(Roi.from_shape(reads.shape), tuple(random.integers(1, 9, 2)))
    bounds = Roi.from_shape(shape)
    checked, touched = [], set()
    for task in tasks:
        kept = reads.kept(task)
        read = kept.grown(halo, within=bounds)
        touched |= {block.start for block in stored if block.intersection(read)}
        found = [
            block.start
            for block in stored
            if all(a <= b < c for a, b, c in zip(kept.start, block.start, kept.stop, strict=True))
            and all(p in _voxels(read) for p in _corners(block))
        ]
        assert [block.start for block, _ in _begun_and_whole(stored, kept, read)] == found
        checked += found
    assert len(set(checked)) == len(checked)  # each once a job
    assert blocks_read(stored, tasks, reads) == (len(touched), len(checked))


def _voxels(roi):
    return set(itertools.product(*(range(a, b) for a, b in zip(roi.start, roi.stop, strict=True))))


def _corners(roi):
    return itertools.product(*((a, b - 1) for a, b in zip(roi.start, roi.stop, strict=True)))
