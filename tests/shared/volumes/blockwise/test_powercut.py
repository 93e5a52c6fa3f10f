"""Blocks that a power cut may have torn: their status has survived what their voxels may not have."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blockmill.shared.errors import CorruptBlock, MissingBlock
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise import store
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.blockwise.status import StatusRecord, format_status, parse_status

SHAPE = (8, 5)
WHOLE = Roi((0, 0), SHAPE)
FIRST, SECOND = Roi((0, 0), (4, 5)), Roi((4, 0), (8, 5))
VOXELS = np.arange(40, dtype="u1").reshape(SHAPE)


@pytest.fixture
def fileset(tmp_path):
    """Two blocks, as if they had been written before the machine was last started."""
    store._checksum_in_state.cache_clear()
    description = FilesetDescription(
        axes="yx", shape=SHAPE, dtype="u1", block_shape=(4, 5), block_file_name_format="b{roiString}.h5/d"
    )
    made = BlockwiseFileset.create(tmp_path / "v.json", description, job="j")
    made.write(WHOLE, VOXELS)
    for block in (FIRST, SECOND):
        changed(made, block, boot="before")
    return made


def file_of(fileset, block):
    return Path(fileset.block_file(block.start))


def status_of(fileset, block):
    return Path(fileset.dataset_directory(block.start)) / "STATUS.txt"


def changed(fileset, block, **facts):
    path = status_of(fileset, block)
    path.write_bytes(format_status(replace(parse_status(path.read_bytes()), **facts)))


def torn(fileset, block, how="zeroed"):
    """Damage a file such that HDF5 itself would notice nothing: the voxels lie at its end."""
    path = file_of(fileset, block)
    content = path.read_bytes()
    at = content.index(VOXELS[block.to_slice()].tobytes())
    path.write_bytes(content[:at] + bytes(10) + content[at + 10 :] if how == "zeroed" else content[:-4])


@pytest.fixture
def sums(monkeypatch):
    """The files that were read for their checksum."""
    read = []
    original = store.checksum_of_file
    monkeypatch.setattr(store, "checksum_of_file", lambda path: (read.append(Path(path)), original(path))[1])
    return read


@pytest.mark.parametrize("how", ["zeroed", "cut off"])
def test_a_torn_block_is_never_read_and_the_message_says_what_to_do(fileset, how):
    torn(fileset, FIRST, how)
    with pytest.raises(CorruptBlock, match=r"Run the job.*volume verify") as caught:
        fileset.read(WHOLE)
    assert str(file_of(fileset, FIRST)) in str(caught.value)
    np.testing.assert_array_equal(fileset.read(SECOND), VOXELS[4:])


def test_a_block_whose_status_is_zero_bytes_is_never_read(fileset):
    path = status_of(fileset, FIRST)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(CorruptBlock, match="zero bytes"):
        fileset.read(WHOLE)
    np.testing.assert_array_equal(fileset.read(SECOND), VOXELS[4:])


def test_a_whole_block_is_checked_once_for_each_state_of_its_file(fileset, sums):
    for _ in range(3):
        np.testing.assert_array_equal(fileset.read(WHOLE), VOXELS)
    assert sums == [file_of(fileset, FIRST), file_of(fileset, SECOND)]
    BlockwiseFileset(fileset.address).read(Roi((1, 1), (2, 2)))
    assert len(sums) == 2
    content = file_of(fileset, FIRST).read_bytes()
    file_of(fileset, FIRST).write_bytes(content)
    os.utime(file_of(fileset, FIRST), ns=(1, 1))
    fileset.read(WHOLE)
    assert sums[2:] == [file_of(fileset, FIRST)]


def test_a_block_that_is_damaged_after_it_was_checked_is_noticed_by_its_new_state(fileset):
    fileset.read(WHOLE)
    torn(fileset, FIRST)
    os.utime(file_of(fileset, FIRST), ns=(2, 2))
    with pytest.raises(CorruptBlock):
        fileset.read(WHOLE)


def test_blocks_of_this_boot_and_synced_ones_are_not_read_twice(fileset, sums):
    fileset.write(FIRST, VOXELS[:4])
    changed(fileset, SECOND, synced=True)
    fileset.read(WHOLE)
    assert sums == []


def test_blocks_without_facts_are_left_alone(fileset, sums):
    torn(fileset, FIRST)
    status_of(fileset, FIRST).write_bytes(format_status(StatusRecord()))
    assert fileset.read(FIRST).shape == (4, 5)
    assert sums == []


def test_a_missing_file_is_told_as_missing(fileset):
    file_of(fileset, FIRST).unlink()
    with pytest.raises(MissingBlock, match="does not exist"):
        fileset.read(FIRST)


def test_the_rest_of_a_torn_block_is_not_kept_by_a_write_to_a_part(fileset):
    torn(fileset, FIRST)
    before = file_of(fileset, FIRST).read_bytes(), status_of(fileset, FIRST).read_bytes()
    with pytest.raises(CorruptBlock):
        fileset.write(Roi((0, 0), (1, 5)), VOXELS[:1], status="all")
    assert (file_of(fileset, FIRST).read_bytes(), status_of(fileset, FIRST).read_bytes()) == before
    fileset.write(FIRST, VOXELS[:4])
    np.testing.assert_array_equal(fileset.read(WHOLE), VOXELS)


def test_a_torn_block_does_not_become_whole_by_being_marked_again(fileset):
    torn(fileset, FIRST)
    with pytest.raises(CorruptBlock):
        fileset.set_block_status(FIRST.start, True)
    fileset.set_block_status(FIRST.start, False)
    assert not fileset.block_status(FIRST.start)


def test_reading_for_writing_changes_no_status(fileset):
    before = [status_of(fileset, block).read_bytes() for block in (FIRST, SECOND)]
    fileset.read(WHOLE)
    assert [status_of(fileset, block).read_bytes() for block in (FIRST, SECOND)] == before


def test_a_block_that_is_rewritten_while_it_is_checked_is_no_torn_one(fileset, monkeypatch):
    torn(fileset, FIRST)
    original = store.checksum_of_file

    def rewritten_first(path):
        found = original(path)
        monkeypatch.setattr(store, "checksum_of_file", original)
        fileset.write(FIRST, VOXELS[:4] + 1)
        return found

    monkeypatch.setattr(store, "checksum_of_file", rewritten_first)
    np.testing.assert_array_equal(fileset.read(FIRST), VOXELS[:4] + 1)


def test_a_block_that_loses_its_status_while_it_is_checked_counts_as_missing(fileset, monkeypatch):
    torn(fileset, FIRST)
    original = store.checksum_of_file

    def dropped_first(path):
        status_of(fileset, FIRST).unlink(missing_ok=True)
        return original(path)

    monkeypatch.setattr(store, "checksum_of_file", dropped_first)
    with pytest.raises(MissingBlock, match="not marked available"):
        fileset.read(FIRST)


def test_threads_check_the_same_block_to_the_same_end(fileset):
    torn(fileset, FIRST)
    ends = []

    def read():
        try:
            fileset.read(WHOLE)
        except CorruptBlock:
            ends.append("corrupt")

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == ["corrupt"] * 8
