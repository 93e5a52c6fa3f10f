"""What says that a fileset is as it was: the state of each block's status, found by one look per folder."""

import os

import numpy as np
import pytest

from blockmill.shared.files.fingerprints import file_state
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.claims import reads_of
from blockmill.shared.volumes.registry import format_of, split_input

PART = {"view_origin": (8, 16, 0), "view_shape": (17, 14, 16)}


@pytest.mark.parametrize("view", [{}, PART], ids=["all", "a view"])
def test_the_state_of_every_block_counts_in_order(tmp_path, view, monkeypatch):
    description = FilesetDescription(
        axes="zyx", shape=(30, 30, 16), dtype="u1", block_shape=(8, 8, 8),
        block_file_name_format="b{roiString}.h5/d", **view,
    )  # fmt: skip
    fileset = BlockwiseFileset.create(tmp_path / "v.json", description)
    for number, block in enumerate(fileset.block_rois()):
        if number % 3 and block.start[0] != 8:  # a folder lacks, and blocks in others
            fileset.write(block, np.ones(block.shape, "u1"))
    at = split_input(str(tmp_path / "v.json"))
    expected = [file_state(at.file)]
    for block in fileset.block_rois():
        expected.append(file_state(os.path.join(fileset.dataset_directory(block.start), "STATUS.txt")))
    looks = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: looks.append(path) or listdir(path))
    assert b"".join(format_of(at).state(at, reads_of(at))) == b"".join(expected)
    assert len(looks) == len(set(looks))
