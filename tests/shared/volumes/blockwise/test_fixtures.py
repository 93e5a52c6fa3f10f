"""What the original wrote is read right, and written again it is the same on disk."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import MissingBlock
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset


@pytest.fixture
def fixtures(shared_dir):
    return shared_dir / "fixtures"


def rois_of(shape, count=60, seed=0):
    rng = np.random.default_rng(seed)
    yield Roi.from_shape(shape)
    for _ in range(count):
        ends = [np.sort(rng.choice(n + 1, 2, replace=False)) for n in shape]
        yield Roi(*zip(*ends, strict=True))


WHOLE = [
    ("docs_example", "data_description_params.json", "expected.npy", np.s_[...]),
    ("float32_txyzc_gzip_subblocks", "data_description_params.json", "expected.npy", np.s_[...]),
    ("view_origin_uint16", "data_description_params.json", "expected.npy", np.s_[...]),
    ("view_origin_uint16", "view.json", "expected_view.npy", np.s_[...]),
    ("view_origin_uint16", "view_write.json", "expected.npy", np.s_[32:64, 32:96, 40:90]),
]


@pytest.mark.parametrize(("folder", "name", "expected", "part"), WHOLE)
def test_every_roi_reads_as_the_original_read_it(fixtures, folder, name, expected, part):
    fileset = BlockwiseFileset(fixtures / folder / name)
    wanted = np.load(fixtures / folder / expected)[part]
    assert fileset.shape == wanted.shape
    assert fileset.dtype == wanted.dtype
    for roi in rois_of(wanted.shape):
        np.testing.assert_array_equal(fileset.read(roi), wanted[roi.to_slice()])
    assert all(fileset.block_status(block.start) for block in fileset.block_rois())
    assert not any(fileset.block_record(block.start).has_facts for block in fileset.block_rois())


def test_blocks_that_are_not_marked_or_not_there_are_missing(fixtures):
    fileset = BlockwiseFileset(fixtures / "partial_blocks" / "data_description_params.json")
    wanted = np.load(fixtures / "partial_blocks" / "expected.npy")
    missing = {(0, 64), (32, 64)}
    for roi in rois_of(fileset.shape):
        touched = [block.start for block in fileset.grid.touching(roi) if block.start in missing]
        if touched:
            with pytest.raises(MissingBlock) as caught:
                fileset.read(roi)
            assert caught.value.block_start == touched[0]
        else:
            np.testing.assert_array_equal(fileset.read(roi), wanted[roi.to_slice()])


def write_all(fileset, data):
    fileset.write(Roi.from_shape(fileset.shape), data)


def write_by_sub_blocks(fileset, data):
    step = fileset.description.sub_block_shape
    for block in fileset.block_rois():
        for corner in np.ndindex(*(-(-n // s) for n, s in zip(block.shape, step, strict=True))):
            start = tuple(a + i * s for a, i, s in zip(block.start, corner, step, strict=True))
            stop = tuple(min(a + s, b) for a, s, b in zip(start, step, block.stop, strict=True))
            fileset.write(Roi(start, stop), data[Roi(start, stop).to_slice()], status="none")
        fileset.set_block_status(block.start, True)


def write_partial_blocks(fileset, data):
    fileset.write(Roi((20, 10), (40, 50)), data[20:40, 10:50])
    fileset.set_block_statuses(Roi((20, 10), (40, 50)), True)
    fileset.write(Roi((45, 64), (50, 70)), np.full((5, 6), -7, "i4"))


AGAIN = [
    ("docs_example", ["data_description_params.json"], write_all),
    ("float32_txyzc_gzip_subblocks", ["data_description_params.json"], write_by_sub_blocks),
    ("partial_blocks", ["data_description_params.json"], write_partial_blocks),
    ("view_origin_uint16", ["data_description_params.json", "view_write.json"], write_all),
]


@pytest.fixture(params=AGAIN, ids=[folder for folder, _, _ in AGAIN])
def twins(request, fixtures, tmp_path):
    """A fixture's folder, and one that we wrote as the fixture was written."""
    folder, names, write = request.param
    data = np.load(fixtures / folder / "expected.npy")
    for name in names:
        shutil.copyfile(fixtures / folder / name, tmp_path / name)
        with BlockwiseFileset(tmp_path / name, "a", job="test") as fileset:
            write(fileset, data[fileset.description.view.to_slice()])
    return fixtures / folder, tmp_path


def files_of(root: Path):
    skipped = {"README.md", "expected.npy", "expected_view.npy", "view.json"}
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if name not in skipped}


def test_the_same_files_lie_in_the_same_places(twins):
    theirs, ours = map(files_of, twins)
    assert sorted(ours) == sorted(theirs)
    assert any(name.endswith("STATUS.txt") for name in ours)


def test_the_copies_of_the_description_are_the_same_byte_for_byte(twins):
    theirs, ours = map(files_of, twins)
    copies = [name for name in theirs if name.endswith(".json")]
    assert len(copies) > 1
    for name in copies:
        assert ours[name].read_bytes() == theirs[name].read_bytes(), name


def anatomy(path):
    """All of an HDF5 file but the place of things in it."""
    parts = {}

    def note(name, item):
        attributes = {}
        for key in item.attrs:
            attribute = item.attrs.get_id(key)
            kind = attribute.get_type()
            value = np.asarray(item.attrs[key]).tolist()
            attributes[key] = (kind.get_class(), kind.get_size(), attribute.shape, value)
            if isinstance(kind, h5py.h5t.TypeStringID):
                attributes[key] += (kind.is_variable_str(), kind.get_cset(), kind.get_strpad())
        parts[name] = (type(item), attributes)
        if isinstance(item, h5py.Dataset):
            plist = item.id.get_create_plist()
            parts[name] += (
                item.dtype,
                item.shape,
                item.maxshape,
                item.chunks,
                [plist.get_filter(index) for index in range(plist.get_nfilters())],
                item.fillvalue,
                plist.fill_value_defined(),
                plist.get_layout(),
                plist.get_alloc_time(),
                h5py.version.hdf5_version_tuple[0] >= 2 and plist.get_fill_time(),  # another one for HDF5 1
                plist.get_obj_track_times(),
                plist.get_attr_creation_order(),
                item.chunks and item.id.get_num_chunks(),
                item[...].tobytes(),
            )

    with h5py.File(path) as file:
        file.visititems(note)
        return parts, file.userblock_size, dict(file.attrs), file.id.get_create_plist().get_version()


def test_the_datasets_are_laid_out_and_noted_the_same(twins):
    theirs, ours = map(files_of, twins)
    blocks = [name for name in theirs if name.endswith((".h5", ".hdf5"))]
    assert blocks
    for name in blocks:
        assert anatomy(ours[name]) == anatomy(theirs[name]), name


@pytest.mark.skipif(h5py.version.hdf5_version_tuple[0] != 2, reason="the fixtures were written by HDF5 2")
def test_contiguous_block_files_are_the_same_byte_for_byte(twins):
    theirs, ours = map(files_of, twins)
    for name in (name for name in theirs if name.endswith(".h5") and "cube" not in name):
        assert ours[name].read_bytes() == theirs[name].read_bytes(), name


def test_blocks_of_the_original_are_rewritten_and_marked_with_facts(fixtures, tmp_path):
    shutil.copytree(fixtures / "docs_example", tmp_path / "d", copy_function=shutil.copyfile)
    for path in (tmp_path / "d").rglob("*"):
        path.chmod(0o755)
    fileset = BlockwiseFileset(tmp_path / "d" / "data_description_params.json", "a")
    wanted = np.load(fixtures / "docs_example" / "expected.npy")
    wanted[90:110, 40:60, 45:55] = 1
    fileset.write(Roi((90, 40, 45), (110, 60, 55)), wanted[90:110, 40:60, 45:55], status="all")
    np.testing.assert_array_equal(fileset.read(Roi.from_shape(fileset.shape)), wanted)
    assert fileset.verify_block((0, 0, 0)) is None
    assert "no facts" in fileset.verify_block((200, 0, 0))
