import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import MissingBlock, OutOfBounds, OutputRefused, StorageError
from blockmill.shared.files.machine import boot_id
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription, read_description
from blockmill.shared.volumes.blockwise.export import _status_of_copy
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.blockwise.status import parse_status
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5.layout import axistags

DATA = sample((22, 23))


def make(directory, **options):
    """22 x 23 voxels on disk in blocks of 4 x 5, all of the view written."""
    fields = {
        "axes": "yx",
        "shape": (22, 23),
        "dtype": DATA.dtype,
        "block_shape": (4, 5),
        "block_file_name_format": "b-{roiString}.h5/volume/data",
        "dataset_root_dir": "blocks",
        "drange": (0, 255),
        "chunks": (3, 3),
        "compression": "gzip",
        **options,
    }
    directory.mkdir(exist_ok=True)
    fileset = BlockwiseFileset.create(directory / "v.json", FilesetDescription(**fields), job="made")
    fileset.write(Roi.from_shape(fileset.shape), DATA[fileset.description.view.to_slice()])
    return fileset


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


# ---------------------------------------------------------------- one file


@pytest.mark.parametrize("absolute", [False, True])
def test_a_roi_of_a_view_becomes_one_file_that_is_named_by_its_absolute_place(tmp_path, out, absolute):
    fileset = make(tmp_path / "in", view_origin=(8, 10), view_shape=(11, 12))
    roi = Roi((1, 2), (10, 11))
    path = fileset.export_roi(roi.shifted((8, 10)) if absolute else roi, out, absolute=absolute)
    assert path == f"{out}/b-([9, 12], [18, 21]).h5"
    assert files(out) == ["b-([9, 12], [18, 21]).h5"]
    with h5py.File(path) as file:
        dataset = file["volume/data"]
        np.testing.assert_array_equal(dataset[...], DATA[9:18, 12:21])
        assert (dataset.dtype, dataset.chunks, dataset.compression) == (DATA.dtype, (3, 3), "gzip")
        assert dataset.attrs["axistags"] == axistags("yx")
        assert dataset.attrs["drange"].tolist() == [0, 255]


def test_an_export_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, out):
    fileset = make(tmp_path / "in")
    roi = Roi((0, 0), (8, 8))
    old = fileset.export_roi(roi, out)
    with open(old, "rb") as file:
        content = file.read()
    fileset.set_block_status((4, 5), False)
    with pytest.raises(MissingBlock) as caught:
        fileset.export_roi(roi, out)
    assert caught.value.block_start == (4, 5)
    assert files(out) == [os.path.basename(old)]
    with open(old, "rb") as file:
        assert file.read() == content


def test_a_directory_that_is_not_there_is_told(tmp_path):
    fileset = make(tmp_path / "in")
    for export in (fileset.export_roi, fileset.export_subset):
        with pytest.raises(StorageError, match="no directory"):
            export(Roi((0, 0), (4, 5)), tmp_path / "nowhere")


# ---------------------------------------------------------------- a smaller fileset


@pytest.mark.parametrize("root", ["blocks", ".", "../elsewhere", "{absolute}"])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_subset_shows_just_its_roi_from_blocks_of_its_own(tmp_path, out, root, absolute):
    root = root.format(absolute=tmp_path / "far" / "away")
    fileset = make(tmp_path / "in", dataset_root_dir=root, view_origin=(4, 5), hash_id="abc")
    roi = Roi((4, 5), (12, 18))  # to the end of the view in x
    subset = fileset.export_subset(roi.shifted((4, 5)) if absolute else roi, out, absolute=absolute)
    assert (subset.copied, subset.kept, subset.missing) == (6, 0, ())
    # The old blocks are gone: nothing of the new fileset may lie with them.
    fileset.remove_blocks()
    exported = BlockwiseFileset(subset.description)
    assert exported.shape == (8, 13)
    np.testing.assert_array_equal(exported.read(Roi.from_shape(exported.shape)), DATA[8:16, 10:23])
    assert all(exported.verify_block(block.start, "made") is None for block in exported.block_rois())
    assert all(out in path.parents for path in tmp_path.rglob("*.h5"))
    description = read_description(subset.description)
    assert description.hash_id is None
    assert description.shape == (22, 23)


def test_copies_of_the_description_in_a_subset_are_those_of_the_subset(tmp_path, out):
    fileset = make(tmp_path / "in")
    subset = fileset.export_subset(Roi((4, 5), (8, 10)), out)
    (copy,) = [path for path in out.rglob("v.json") if path != out / "v.json"]
    assert copy.read_bytes() == (out / "v.json").read_bytes()
    assert subset.description == str(out / "v.json")


def test_missing_blocks_are_told_and_what_belongs_to_a_writer_stays_behind(tmp_path, out):
    fileset = make(tmp_path / "in")
    fileset.set_block_status((0, 5), False)
    directory = fileset.dataset_directory((0, 0))
    name = os.path.basename(fileset.block_file((0, 0)))
    for extra in (
        f"{name}.lock-0123456789abcdef",
        f"{name}.partial-x",
        "block-pointcloud.csv",
        "a.locked.txt",
    ):
        with open(f"{directory}/{extra}", "w") as file:
            file.write("x")
    subset = fileset.export_subset(Roi((0, 0), (4, 15)), out)
    assert subset.missing == ((0, 5),)
    assert subset.copied == 2
    there = files(out / "blocks" / "y_00000000" / "x_00000000")
    assert there == sorted(["STATUS.txt", "a.locked.txt", name, "block-pointcloud.csv", "v.json"])
    exported = BlockwiseFileset(subset.description)
    np.testing.assert_array_equal(exported.read(Roi((0, 0), (4, 5))), DATA[:4, :5])
    with pytest.raises(MissingBlock):
        exported.read(Roi((0, 5), (4, 6)))
    # Completed later: what is there is kept.
    fileset.set_block_status((0, 5), True)
    again = fileset.export_subset(Roi((0, 0), (4, 15)), out)
    assert (again.copied, again.kept, again.missing) == (1, 2, ())


def test_a_destination_that_is_something_else_is_refused_and_not_touched(tmp_path, out):
    fileset = make(tmp_path / "in")
    fileset.export_subset(Roi((0, 0), (4, 5)), out)
    before = files(out)
    with pytest.raises(OutputRefused, match="something else"):
        fileset.export_subset(Roi((4, 5), (8, 10)), out)
    with pytest.raises(OutputRefused, match="another directory"):
        fileset.export_subset(Roi((0, 0), (4, 5)), tmp_path / "in")
    assert files(out) == before


@pytest.mark.parametrize("roi", [Roi((0, 0), (4, 6)), Roi((1, 0), (4, 5)), Roi((0, 0), (21, 5))])
def test_a_subset_of_parts_of_blocks_is_refused(tmp_path, out, roi):
    with pytest.raises(OutOfBounds, match="cuts through blocks"):
        make(tmp_path / "in").export_subset(roi, out)
    assert files(out) == []


def test_a_block_that_is_written_while_it_is_copied_is_copied_again(tmp_path, out, monkeypatch):
    fileset = make(tmp_path / "in")
    from blockmill.shared.volumes.blockwise import export

    copy, times = export._copy_files, []

    def copy_and_write(*arguments):
        copy(*arguments)
        times.append(1)
        if len(times) == 1:
            fileset.write(Roi((0, 0), (4, 5)), np.full((4, 5), 7, DATA.dtype))

    monkeypatch.setattr(export, "_copy_files", copy_and_write)
    subset = fileset.export_subset(Roi((0, 0), (4, 5)), out)
    exported = BlockwiseFileset(subset.description)
    assert len(times) == 2
    assert (exported.read(Roi((0, 0), (4, 5))) == 7).all()
    assert exported.verify_block((0, 0)) is None


def test_the_copy_of_a_synced_block_does_not_claim_to_be_synced(tmp_path):
    fileset = make(tmp_path / "in")
    record = replace(fileset.block_record((0, 0)), synced=True, boot="another")
    from blockmill.shared.volumes.blockwise.status import format_status

    assert parse_status(_status_of_copy(format_status(record))) == replace(
        record, synced=False, boot=boot_id()
    )
    assert _status_of_copy(b"") == b""
