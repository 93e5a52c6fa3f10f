import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import (
    CorruptBlock,
    JobError,
    LockTimeout,
    MissingBlock,
    OutOfBounds,
    OutputRefused,
    StorageError,
)
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.locking.filelock import FileLock
from blockmill.shared.volumes.blockwise.description import FilesetDescription, write_description
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.conformance import VolumeTests, sample
from blockmill.shared.volumes.hdf5.layout import axistags

LAZYFLOW_LOCK = "Owning process args:\nilastik.py\n"


def described(shape, block_shape, dtype="u1", axes=None, **options):
    return FilesetDescription(
        axes=axes or "tczyx"[-len(shape) :],
        shape=shape,
        dtype=dtype,
        block_shape=block_shape,
        block_file_name_format=options.pop("format_", "b-{roiString}.h5/volume/data"),
        **options,
    )


class TestFileset(VolumeTests):
    options: tuple = ()

    def make(self, directory, data, axes):
        block = tuple(max(1, n // 2) for n in data.shape)
        description = described(data.shape, block, data.dtype, axes, **dict(self.options))
        fileset = BlockwiseFileset.create(directory / "v.json", description)
        fileset.write(Roi.from_shape(data.shape), data)
        return fileset

    def write(self, volume, roi, data):
        volume.write(roi, data, status="all")


class TestCompressedFileset(TestFileset):
    options = (("compression", "gzip"), ("compression_opts", 1), ("format_", "a/b-{roiString}.hdf5/d"))


class TestFilesetSeenThroughAView(TestFileset):
    def make(self, directory, data, axes):
        block = tuple(max(1, n // 2) for n in data.shape)
        description = described(
            tuple(b + n + 1 for b, n in zip(block, data.shape, strict=True)),
            block,
            data.dtype,
            axes,
            view_origin=block,
            view_shape=data.shape,
        )
        fileset = BlockwiseFileset.create(directory / "v.json", description)
        fileset.write(Roi.from_shape(data.shape), data)
        return fileset


@pytest.fixture
def fileset(tmp_path):
    """10 x 12 voxels in blocks of 4 x 5, all written by job "first"."""
    made = BlockwiseFileset.create(tmp_path / "v.json", described((10, 12), (4, 5)), job="first")
    made.write(Roi((0, 0), (10, 12)), sample((10, 12)))
    return made


def block_file(fileset, start) -> Path:
    return Path(fileset.block_file(start))


def tree(directory):
    return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*") if path.is_file())


# ---------------------------------------------------------------- status


def test_blocks_are_counted_in_c_order_and_clipped_to_the_view(fileset):
    rois = list(fileset.block_rois())
    assert len(rois) == 9
    assert rois[1] == Roi((0, 5), (4, 10))
    assert rois[-1] == Roi((8, 10), (10, 12))


def test_whole_blocks_become_available_and_others_lose_it(fileset):
    fileset.write(Roi((0, 0), (4, 7)), np.zeros((4, 7), "u1"))
    assert fileset.block_status((0, 0))
    assert not fileset.block_status((0, 5))
    fileset.write(Roi((0, 0), (4, 7)), np.zeros((4, 7), "u1"), status="none")
    assert not fileset.block_status((0, 0))
    fileset.write(Roi((0, 0), (4, 7)), np.zeros((4, 7), "u1"), status="all")
    assert fileset.block_status((0, 0))
    assert fileset.block_status((0, 5))
    with pytest.raises(ValueError, match="'some'"):
        fileset.write(Roi((0, 0), (4, 5)), np.zeros((4, 5), "u1"), status="some")


def test_a_block_that_ends_at_the_view_is_whole_when_the_view_is_covered(tmp_path):
    description = described((10, 12), (4, 5), view_origin=(0, 5), view_shape=(6, 4))
    with BlockwiseFileset.create(tmp_path / "v.json", description) as fileset:
        fileset.write(Roi((0, 0), (6, 4)), sample((6, 4)))
        assert all(fileset.block_status(block.start) for block in fileset.block_rois())
        assert fileset.verify_block((4, 0)) is None


def test_a_missing_block_is_told_before_any_voxel_is_copied(fileset):
    fileset.set_block_status((4, 5), False)
    out = np.full((10, 12), 77, "u1")
    with pytest.raises(MissingBlock) as caught:
        fileset.read(Roi((0, 0), (10, 12)), out=out)
    assert caught.value.block_start == (4, 5)
    assert str(caught.value) == (
        f"block [4, 5] of {fileset.address} is not marked available, though its file "
        f"{block_file(fileset, (4, 5))} is there: it is still being written, or its writer was "
        "interrupted. Finish the job that writes it, or, if the file is known to be whole, mark it "
        "with set_block_status"
    )
    assert (out == 77).all()
    fileset.read(Roi((0, 0), (4, 12)))


def test_a_block_that_was_never_written_is_told_with_the_file_that_it_lacks(tmp_path):
    with BlockwiseFileset.create(tmp_path / "v.json", described((10, 12), (4, 5))) as fileset:
        with pytest.raises(MissingBlock) as caught:
            fileset.read(Roi((5, 6), (6, 7)))
        file = block_file(fileset, (4, 5))
    assert caught.value.block_start == (4, 5)
    assert str(caught.value) == (
        f"block [4, 5] of {fileset.address} has not been written: there is no file {file}. "
        "Finish the job that writes it"
    )


def test_an_available_block_without_its_file_is_missing(fileset):
    block_file(fileset, (4, 5)).unlink()
    with pytest.raises(MissingBlock) as caught:
        fileset.read(Roi((0, 0), (10, 12)))
    assert caught.value.block_start == (4, 5)
    assert str(block_file(fileset, (4, 5))) in str(caught.value)
    assert "write the block again" in str(caught.value)
    assert fileset.verify_block((4, 5)) == "the block file is missing"


def test_statuses_are_set_for_every_touched_block(fileset):
    fileset.set_block_statuses(Roi((3, 4), (5, 6)), False)
    assert [block.start for block in fileset.block_rois() if not fileset.block_status(block.start)] == [
        (0, 0),
        (0, 5),
        (4, 0),
        (4, 5),
    ]
    fileset.set_block_statuses(Roi((0, 0), (10, 12)), True)
    assert all(fileset.verify_block(block.start) is None for block in fileset.block_rois())


def test_a_block_that_was_never_written_can_not_be_marked(tmp_path):
    fileset = BlockwiseFileset.create(tmp_path / "v.json", described((4,), (2,)))
    with pytest.raises(StorageError, match="write the block"):
        fileset.set_block_status((0,), True)
    fileset.set_block_status((0,), False)
    assert tree(tmp_path) == ["v.json"]


@pytest.mark.parametrize("start", [(1, 0), (0, 3), (12, 0), (-4, 0), (0,), (0, 0, 0)])
def test_starts_that_are_no_blocks_are_refused(fileset, start):
    for ask in (
        fileset.block_status,
        fileset.block_record,
        fileset.verify_block,
        fileset.is_block_locked,
        fileset.dataset_directory,
        fileset.dataset_path,
    ):
        with pytest.raises(OutOfBounds):
            ask(start)


def test_records_tell_size_checksum_job_and_boot(fileset):
    record = fileset.block_record((0, 0))
    assert record is not None
    assert record.size_bytes == block_file(fileset, (0, 0)).stat().st_size
    assert record.job == "first"
    assert not record.synced
    fileset.set_block_status((0, 0), False)
    assert fileset.block_record((0, 0)) is None


def test_synced_blocks_say_so(tmp_path):
    fileset = BlockwiseFileset.create(tmp_path / "v.json", described((4,), (2,)), durability="block")
    fileset.write(Roi((0,), (4,)), sample((4,)))
    assert fileset.block_record((2,)).synced
    fileset.set_block_status((2,), True)
    assert fileset.block_record((2,)).synced
    assert fileset.verify_block((2,)) is None


def test_blocks_are_verified_by_size_checksum_and_job(fileset):
    file = block_file(fileset, (0, 0))
    content = file.read_bytes()
    assert fileset.verify_block((0, 0)) is None
    assert fileset.verify_block((0, 0), job="first") is None
    assert "another job" in fileset.verify_block((0, 0), job="second")
    file.write_bytes(content[:-10])
    assert (
        fileset.verify_block((0, 0)) == f"file has {len(content) - 10} bytes, the record says {len(content)}"
    )
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert fileset.verify_block((0, 0)) == "checksum differs"
    file.write_bytes(content)
    Path(fileset.dataset_directory((0, 0)), "STATUS.txt").write_bytes(b"")
    assert "no facts" in fileset.verify_block((0, 0))
    assert fileset.block_status((0, 0))
    Path(fileset.dataset_directory((0, 0)), "STATUS.txt").unlink()
    assert fileset.verify_block((0, 0)) == "no status record"


# ---------------------------------------------------------------- reading


def test_a_destination_may_be_an_hdf5_dataset(fileset, tmp_path):
    with h5py.File(tmp_path / "out.h5", "w") as file:
        for dtype in ("u1", "f4"):
            out = file.create_dataset(dtype, (5, 9), dtype)
            assert fileset.read(Roi((2, 3), (7, 12)), out=out) is out
            np.testing.assert_array_equal(out[...], sample((10, 12))[2:7, 3:12])


def test_a_cut_or_garbled_file_is_corrupt_with_all_that_helps(fileset):
    file = block_file(fileset, (4, 5))
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"garbage" * 1000, content[:600]):
        file.write_bytes(damaged)
        with pytest.raises(CorruptBlock) as caught:
            fileset.read(Roi((4, 5), (5, 6)))
        assert str(file) in str(caught.value)
        assert "Delete" in str(caught.value)
        assert f"{len(damaged)} bytes, its status record says {len(content)}" in str(caught.value)
        assert caught.value.__cause__ is not None
        with pytest.raises(CorruptBlock, match="Delete"):
            fileset.write(Roi((4, 5), (5, 6)), np.zeros((1, 1), "u1"))
        assert file.read_bytes() == damaged
    fileset.write(Roi((4, 5), (8, 10)), np.ones((4, 5), "u1"))
    assert fileset.read(Roi((4, 5), (8, 10))).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda f: f.create_dataset("other", (4, 5), "u1"),
        lambda f: f.create_group("volume/data"),
        lambda f: f.create_dataset("volume/data", (4, 5, 1), "u1"),
    ],
)
def test_a_file_without_the_right_dataset_is_corrupt(fileset, make):
    with h5py.File(block_file(fileset, (0, 0)), "w") as file:
        make(file)
    with pytest.raises(CorruptBlock, match="volume/data"):
        fileset.read(Roi((0, 0), (1, 1)))


def test_a_file_that_may_not_be_read_is_no_corrupt_one(fileset, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    for where, known in (("h5py.h5f.open", False), ("os.open", True)):
        reader = BlockwiseFileset(fileset.address)
        if known:
            reader.read(Roi((0, 0), (1, 1)))
        with monkeypatch.context() as patch, pytest.raises(StorageError, match="denied") as caught:
            patch.setattr(where, refuse)
            reader.read(Roi((0, 0), (1, 1)))
        assert not isinstance(caught.value, CorruptBlock)


def test_files_that_were_clipped_to_a_view_are_read_as_far_as_they_go_and_completed_by_a_write(fileset):
    file = block_file(fileset, (4, 5))
    with h5py.File(file, "w") as clipped:
        clipped["volume/data"] = np.full((2, 5), 9, "u1")
        clipped["volume/data"].attrs["note"] = "keep"
        clipped["extra"] = 5
    assert (fileset.read(Roi((4, 5), (6, 10))) == 9).all()
    with pytest.raises(MissingBlock, match="view") as caught:
        fileset.read(Roi((4, 5), (7, 10)))
    assert caught.value.block_start == (4, 5)
    fileset.write(Roi((7, 5), (8, 6)), np.full((1, 1), 3, "u1"), status="all")
    assert fileset.read(Roi((4, 5), (8, 10))).tolist() == [[9] * 5, [9] * 5, [0] * 5, [3, 0, 0, 0, 0]]
    with h5py.File(file) as completed:
        assert completed["volume/data"].attrs["note"] == "keep"
        assert completed["volume/data"].attrs["axistags"] == axistags("yx")
        assert completed["extra"][()] == 5


def test_a_view_never_clips_what_is_written(tmp_path):
    whole = described((10, 12), (4, 5))
    view = replace(whole, view_origin=(4, 0), view_shape=(3, 7))
    write_description(tmp_path / "whole.json", whole)
    with BlockwiseFileset.create(tmp_path / "view.json", view) as fileset:
        fileset.write(Roi((0, 0), (3, 7)), np.full((3, 7), 5, "u1"))
    wanted = np.zeros((10, 12), "u1")
    wanted[4:7, :7] = 5
    with BlockwiseFileset(tmp_path / "whole.json") as fileset:
        np.testing.assert_array_equal(fileset.read(Roi((4, 0), (8, 10))), wanted[4:8, :10])


def test_names_that_numpy_2_gave_are_found_and_kept(fileset):
    file = block_file(fileset, (4, 5))
    odd = file.with_name("b-([np.int64(4), np.int64(5)], [np.int64(8), np.int64(10)]).h5")
    file.rename(odd)
    np.testing.assert_array_equal(fileset.read(Roi((0, 0), (10, 12))), sample((10, 12)))
    assert fileset.verify_block((4, 5)) is None
    assert block_file(fileset, (4, 5)) == odd
    fileset.write(Roi((4, 5), (5, 6)), np.full((1, 1), 200, "u1"), status="all")
    assert odd.exists()
    assert not file.exists()
    assert fileset.read(Roi((4, 5), (5, 7))).tolist() == [[200, sample((10, 12))[4, 6]]]


def test_the_working_directory_may_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fileset = BlockwiseFileset.create("v.json", described((4,), (2,)))
    monkeypatch.chdir("/")
    fileset.write(Roi((0,), (4,)), sample((4,)))
    assert fileset.read(Roi((0,), (4,))).tolist() == sample((4,)).tolist()
    assert fileset.address == str(tmp_path / "v.json")


# ---------------------------------------------------------------- writing


def test_extra_datasets_survive_a_partial_write(fileset):
    with h5py.File(block_file(fileset, (0, 0)), "r+") as file:
        file["features"] = np.arange(3)
        file["volume/data"].attrs["note"] = "mine"
    fileset.write(Roi((0, 0), (1, 1)), np.ones((1, 1), "u1"), status="all")
    with h5py.File(block_file(fileset, (0, 0))) as file:
        assert file["features"][...].tolist() == [0, 1, 2]
        assert file["volume/data"].attrs["note"] == "mine"
    assert fileset.verify_block((0, 0)) is None


def test_a_description_copy_lies_in_each_new_directory_unless_switched_off(tmp_path):
    for copies in (True, False):
        fileset = BlockwiseFileset.create(
            tmp_path / str(copies) / "v.json", described((4,), (2,)), copy_description=copies
        )
        fileset.write(Roi((0,), (3,)), sample((3,)))
        copy = Path(fileset.dataset_directory((2,)), "v.json")
        assert copy.exists() == copies
    copy = tmp_path / "True" / "x_00000000" / "v.json"
    copy.write_text("changed")
    BlockwiseFileset(tmp_path / "True" / "v.json", "a").write(Roi((0,), (4,)), sample((4,)))
    assert copy.read_text() == "changed"


def test_a_fileset_that_is_open_for_reading_is_not_changed(fileset):
    reader = BlockwiseFileset(fileset.address)
    for change in (
        lambda: reader.write(Roi((0, 0), (1, 1)), np.zeros((1, 1), "u1")),
        lambda: reader.set_block_status((0, 0), False),
        lambda: reader.set_block_statuses(Roi((0, 0), (1, 1)), False),
        lambda: reader.sweep(Roi((0, 0), (1, 1))),
        reader.remove_blocks,
    ):
        with pytest.raises(StorageError, match="reading only"):
            change()
    np.testing.assert_array_equal(reader.read(Roi((0, 0), (10, 12))), sample((10, 12)))


def test_creating_refuses_an_existing_description(fileset):
    with pytest.raises(OutputRefused, match=r"v\.json exists"):
        BlockwiseFileset.create(fileset.address, described((4,), (2,)))
    assert BlockwiseFileset(fileset.address).shape == (10, 12)


def test_what_can_not_be_opened_is_refused(tmp_path, fileset):
    write_description(tmp_path / "o.json", described((4,), (2,), "object"))
    with pytest.raises(JobError, match=r"o\.json.*object"):
        BlockwiseFileset(tmp_path / "o.json")
    with pytest.raises(JobError, match="mode"):
        BlockwiseFileset(fileset.address, "w")  # pyright: ignore[reportArgumentType]
    with pytest.raises(JobError, match="durability"):
        BlockwiseFileset(fileset.address, durability="some")  # pyright: ignore[reportArgumentType]


def test_an_unknown_compression_is_told_and_leaves_no_file(tmp_path):
    fileset = BlockwiseFileset.create(tmp_path / "v.json", described((4,), (2,), compression="nonsense"))
    with pytest.raises(StorageError, match="nonsense"):
        fileset.write(Roi((0,), (4,)), sample((4,)))
    assert tree(tmp_path) == ["v.json", "x_00000000/v.json"]


# ---------------------------------------------------------------- locks


@pytest.mark.parametrize("text", [LAZYFLOW_LOCK, "", "something else"])
def test_a_lock_of_others_stops_writers_and_readers_and_nothing_is_changed(fileset, text):
    file = block_file(fileset, (4, 5))
    Path(f"{file}.lock").write_text(text)
    before = {path: path.read_bytes() for path in Path(fileset.address).parent.rglob("*") if path.is_file()}
    impatient = BlockwiseFileset(fileset.address, "a", lock_timeout_s=0.01)
    assert impatient.is_block_locked((4, 5))
    assert not impatient.is_block_locked((0, 0))
    for attempt in (
        lambda: impatient.write(Roi((4, 5), (8, 10)), np.zeros((4, 5), "u1")),
        lambda: impatient.set_block_status((4, 5), False),
        lambda: impatient.set_block_status((4, 5), True),
        lambda: impatient.read(Roi((4, 5), (8, 10))),
    ):
        with pytest.raises(LockTimeout, match="b-"):
            attempt()
    assert impatient.sweep() == 0
    after = {path: path.read_bytes() for path in Path(fileset.address).parent.rglob("*") if path.is_file()}
    assert after == before
    impatient.read(Roi((0, 0), (4, 12)))


def test_a_reader_goes_on_when_a_foreign_lock_is_removed(fileset, monkeypatch):
    lock = Path(f"{block_file(fileset, (0, 0))}.lock")
    lock.write_text(LAZYFLOW_LOCK)
    monkeypatch.setattr("time.sleep", lambda _: lock.unlink())
    assert fileset.read(Roi((0, 0), (1, 1))).shape == (1, 1)


def test_a_reader_waits_while_hdf5_says_that_a_writer_has_the_file_open(fileset, monkeypatch):
    original, calls = h5py.h5f.open, []

    def busy_once(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return original(*args, **kwargs)

    monkeypatch.setattr("h5py.h5f.open", busy_once)
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert BlockwiseFileset(fileset.address).read(Roi((0, 0), (1, 1))).shape == (1, 1)
    assert len(calls) == 2


def test_a_file_of_a_known_make_is_not_read_while_an_hdf5_writer_has_it_open(fileset):
    expected = fileset.read(Roi((0, 0), (1, 1)))
    impatient = BlockwiseFileset(fileset.address, lock_timeout_s=0.01)
    impatient.read(Roi((0, 0), (1, 1)))
    with h5py.File(block_file(fileset, (0, 0)), "r+"), pytest.raises(LockTimeout, match="open for writing"):
        impatient.read(Roi((0, 0), (1, 1)))
    np.testing.assert_array_equal(impatient.read(Roi((0, 0), (1, 1))), expected)


def test_a_lock_of_ours_does_not_stop_readers(fileset):
    with FileLock(block_file(fileset, (0, 0))):
        assert fileset.is_block_locked((0, 0))
        np.testing.assert_array_equal(fileset.read(Roi((0, 0), (4, 5))), sample((10, 12))[:4, :5])
    assert not fileset.is_block_locked((0, 0))


def test_threads_that_write_parts_of_the_same_blocks_lose_nothing(tmp_path):
    fileset = BlockwiseFileset.create(tmp_path / "v.json", described((8, 64), (8, 16), "u2"))
    data = sample((8, 64), "u2") + 1
    start = threading.Barrier(8)

    def write_row(row):
        start.wait()
        for begin in range(0, 64, 8):
            part = Roi((row, begin), (row + 1, begin + 8))
            fileset.write(part, data[part.to_slice()])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_row, range(8)))
    fileset.set_block_statuses(Roi((0, 0), (8, 64)), True)
    np.testing.assert_array_equal(fileset.read(Roi((0, 0), (8, 64))), data)
    assert not [name for name in tree(tmp_path) if "partial" in name or "lock" in name]


# ---------------------------------------------------------------- tidying


def test_what_dead_writers_left_is_swept_and_living_writers_keep_theirs(fileset):
    dead, living = block_file(fileset, (0, 0)), block_file(fileset, (4, 5))
    others = block_file(fileset, (8, 10))
    for file in (dead, living):
        file.with_name(file.name + ".partial-abc").write_bytes(b"half")
        file.with_name("STATUS.txt.partial-abc").write_bytes(b"half")
    others.with_name("block-pointcloud.csv").write_text("keep")
    with FileLock(living):
        assert fileset.sweep() == 2
        names = tree(Path(fileset.address).parent)
    assert sum("partial-abc" in name for name in names) == 2
    assert fileset.sweep(Roi((4, 5), (5, 6))) == 2
    assert others.with_name("block-pointcloud.csv").exists()
    assert all(fileset.verify_block(block.start) is None for block in fileset.block_rois())


def test_directories_without_a_block_are_swept_up_to_the_root(tmp_path):
    description = described((4, 4), (2, 2), dataset_root_dir="blocks", format_="sub/{roiString}.h5/d")
    fileset = BlockwiseFileset.create(tmp_path / "v.json", description)
    fileset.write(Roi((0, 0), (4, 4)), sample((4, 4)))
    for start in ((0, 0), (0, 2), (2, 0)):
        block_file(fileset, start).unlink()
        Path(fileset.dataset_directory(start), "STATUS.txt").unlink()
    Path(fileset.dataset_directory((2, 0)), "precious.csv").touch()
    fileset.sweep()
    assert tree(tmp_path) == [
        "blocks/y_00000002/x_00000000/precious.csv",
        "blocks/y_00000002/x_00000000/v.json",
        "blocks/y_00000002/x_00000002/STATUS.txt",
        "blocks/y_00000002/x_00000002/sub/([2, 2], [4, 4]).h5",
        "blocks/y_00000002/x_00000002/v.json",
        "v.json",
    ]
    assert not (tmp_path / "blocks" / "y_00000000").exists()
    fileset.write(Roi((0, 0), (4, 4)), sample((4, 4)))
    np.testing.assert_array_equal(fileset.read(Roi((0, 0), (4, 4))), sample((4, 4)))


def test_removing_blocks_leaves_what_is_not_theirs(tmp_path):
    description = described((4, 4), (2, 2), dataset_root_dir="blocks")
    fileset = BlockwiseFileset.create(tmp_path / "v.json", description)
    fileset.write(Roi((0, 0), (4, 4)), sample((4, 4)))
    precious = Path(fileset.dataset_directory((2, 2)), "precious.csv")
    precious.touch()
    fileset.remove_blocks()
    assert [name for name in tree(tmp_path) if "h5" in name or "STATUS" in name] == []
    assert precious.exists()
    precious.unlink()
    fileset.remove_blocks()
    assert [path.name for path in tmp_path.iterdir()] == ["v.json"]
    fileset.remove_blocks()


def test_a_writer_makes_its_directory_again_when_a_sweep_takes_it_away(tmp_path, monkeypatch):
    fileset = BlockwiseFileset.create(tmp_path / "v.json", described((4,), (2,)))
    acquire, swept = FileLock.acquire, []

    def sweep_first(lock, *args, **kwargs):
        if not swept:
            swept.append(fileset.sweep())
        return acquire(lock, *args, **kwargs)

    monkeypatch.setattr(FileLock, "acquire", sweep_first)
    fileset.write(Roi((0,), (4,)), sample((4,)))
    assert swept
    assert fileset.read(Roi((0,), (4,))).tolist() == sample((4,)).tolist()


LAYOUTS_ON_DISK = [
    {},
    {"chunks": (4, 8)},
    {"chunks": (4, 8), "compression": "gzip", "compression_opts": 1},
    {"chunks": (4, 8), "compression": "lzf"},
]


def opened_low(path):
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_SEMI)
    return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, fapl=access))


@pytest.mark.parametrize(
    "held",
    [
        lambda path: h5py.File(path, "r"),
        lambda path: h5py.File(path, "r+"),
        lambda path: h5py.File(path, "r", locking=False),
        opened_low,
    ],
    ids=["r", "r+", "without lock", "low level"],
)
@pytest.mark.parametrize("layout", LAYOUTS_ON_DISK, ids=["contiguous", "chunked", "gzip", "lzf"])
def test_a_block_that_the_caller_has_open_is_read(tmp_path, layout, held):
    data = sample((20, 30), "uint16")
    with BlockwiseFileset.create(tmp_path / "x.json", described((20, 30), (20, 30), "u2", **layout)) as made:
        made.write(None, data)
    for roi in (Roi((0, 0), (20, 30)), Roi((3, 5), (9, 28))):
        fileset = BlockwiseFileset(tmp_path / "x.json", lock_timeout_s=1)
        with held(fileset.block_file((0, 0))) as file:
            np.testing.assert_array_equal(fileset.read(roi), data[roi.to_slice()])
            np.testing.assert_array_equal(file["volume/data"], data)  # the caller's is as open as before
        with fileset.open_block_file((0, 0)):
            np.testing.assert_array_equal(fileset.read(roi), data[roi.to_slice()])
        assert not [
            name for name in os.listdir("/proc/self/fd") if _leads_to(name, fileset.block_file((0, 0)))
        ]


def _leads_to(descriptor, path):
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == path
    except FileNotFoundError:
        return False


def test_a_damaged_block_is_told_as_damaged_whoever_has_it_open(tmp_path):
    with BlockwiseFileset.create(tmp_path / "x.json", described((20, 30), (20, 30), chunks=(5, 5))) as made:
        made.write(None, sample((20, 30)))
        path = Path(made.block_file((0, 0)))
    content = path.read_bytes()
    fileset = BlockwiseFileset(tmp_path / "x.json")
    for damaged in (content[:1000], b"garbage" * 100, b"", bytes(len(content))):
        path.write_bytes(damaged)
        with pytest.raises(CorruptBlock, match=r"no readable HDF5 file|can't be read"):
            fileset.read()
        with path.open("rb"), pytest.raises(CorruptBlock):
            fileset.read()
