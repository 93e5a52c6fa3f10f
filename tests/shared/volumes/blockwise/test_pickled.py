import pickle

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import CorruptBlock, JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.blockwise.pickled import PICKLE_DTYPE
from blockmill.shared.volumes.hdf5.layout import axistags
from blockmill.shared.volumes.registry import open_volume

SHAPE = (1, 10, 6, 5, 1)


def objects():
    """Dictionaries that hold arrays, of all sizes, as the original's own test has them."""
    made = np.empty(SHAPE, object)
    for index in np.ndindex(SHAPE):
        made[index] = {"at": index, "array": np.arange(sum(index) % 3)}
    return made


def assert_same(ours, theirs):
    assert ours.shape == theirs.shape
    for index in np.ndindex(ours.shape):
        assert ours[index]["at"] == theirs[index]["at"]
        np.testing.assert_array_equal(ours[index]["array"], theirs[index]["array"])


@pytest.fixture(params=[{}, {"chunks": (1, 5, 4, 1, 1), "compression": "gzip"}])
def fileset(request, tmp_path):
    description = FilesetDescription(
        axes="txyzc",
        shape=SHAPE,
        dtype="object",
        block_shape=(1, 5, 4, 2, 100),
        block_file_name_format="b-{roiString}.h5/volume/data",
        **request.param,
    )
    return BlockwiseFileset.create(tmp_path / "v.json", description, allow_pickle=True)


def test_objects_come_back_whole_and_in_parts(fileset):
    data = objects()
    fileset.write(Roi.from_shape(SHAPE), data)
    assert_same(fileset.read(Roi.from_shape(SHAPE)), data)
    roi = Roi((0, 3, 2, 1, 0), (1, 8, 5, 4, 1))
    assert_same(fileset.read(roi), data[roi.to_slice()])
    out = np.empty(roi.shape, object)
    assert fileset.read(roi, out) is out
    assert_same(out, data[roi.to_slice()])
    assert fileset.verify_block((0, 0, 0, 0, 0)) is None


def test_parts_are_put_into_a_block_and_what_was_never_written_is_none(fileset):
    data = objects()
    roi = Roi((0, 3, 2, 1, 0), (1, 8, 5, 4, 1))
    fileset.write(roi, data[roi.to_slice()], status="all")
    # Elements of one length, which h5py would take for an axis more.
    same = np.full((1, 1, 1, 2, 1), None, object)
    same[...] = "twin"
    fileset.write(Roi((0, 0, 0, 0, 0), (1, 1, 1, 2, 1)), same, status="all")
    whole = fileset.read(Roi((0, 0, 0, 0, 0), (1, 8, 5, 4, 1)))
    assert whole[0, 0, 0, :2, 0].tolist() == ["twin", "twin"]
    assert whole[0, 1, 0, 0, 0] is None
    assert_same(whole[:, 3:, 2:, 1:], data[roi.to_slice()])


def test_the_file_holds_strings_of_bytes_that_are_pickles_of_protocol_0(fileset, tmp_path):
    fileset.write(Roi.from_shape(SHAPE), objects())
    with h5py.File(
        tmp_path
        / "t_00000000/x_00000005/y_00000004/z_00000004/c_00000000"
        / "b-([0, 5, 4, 4, 0], [1, 10, 6, 5, 1]).h5"
    ) as file:
        dataset = file["volume/data"]
        assert dataset.shape == (1, 5, 2, 1, 1)
        assert h5py.check_vlen_dtype(dataset.dtype) == np.uint8
        assert dataset.attrs["axistags"] == axistags("txyzc")
        text = dataset[0, 1, 1, 0, 0].tobytes()
    assert text == pickle.dumps(objects()[0, 6, 5, 4, 0], 0)


def test_a_block_that_the_original_wrote_is_read(fileset):
    """Laid down with h5py alone, as the original lays it down."""
    fileset.write(Roi.from_shape(SHAPE), objects())
    with h5py.File(fileset.block_file((0, 0, 0, 0, 0)), "w") as file:
        dataset = file.create_dataset("volume/data", (1, 5, 4, 2, 1), PICKLE_DTYPE)
        for index in np.ndindex(dataset.shape):
            dataset[index] = np.frombuffer(pickle.dumps(index, 0), np.uint8)
    fileset.set_block_status((0, 0, 0, 0, 0), True)
    assert fileset.read(Roi((0, 4, 3, 1, 0), (1, 5, 4, 2, 1))).item() == (0, 4, 3, 1, 0)


def test_nothing_is_unpickled_unless_it_is_asked_for_by_name(fileset):
    with pytest.raises(JobError, match="allow_pickle=True"):
        BlockwiseFileset(fileset.address)
    with pytest.raises(JobError, match="run code"):
        open_volume(fileset.address)


def test_what_is_no_pickle_is_corrupt_and_what_can_not_be_pickled_changes_nothing(fileset):
    roi = Roi((0, 0, 0, 0, 0), (1, 5, 4, 2, 1))
    fileset.write(roi, objects()[roi.to_slice()])
    bad = objects()[roi.to_slice()]
    bad[0, 1, 2, 1, 0] = lambda: None
    with pytest.raises(ValueError, match=r"\[0, 1, 2, 1, 0\] can't be pickled"):
        fileset.write(roi, bad)
    assert_same(fileset.read(roi), objects()[roi.to_slice()])
    path = fileset.block_file((0, 0, 0, 0, 0))
    with h5py.File(path, "r+") as file:
        file["volume/data"][0, 1, 2, 1, 0] = np.frombuffer(b"garbage", np.uint8)
    with pytest.raises(CorruptBlock, match=r"\[0, 1, 2, 1, 0\] can't be unpickled"):
        fileset.read(roi)
    with h5py.File(path, "w") as file:
        file["volume/data"] = np.zeros((1, 5, 4, 2, 1))
    with pytest.raises(CorruptBlock, match="float64"):
        fileset.read(roi)


def test_objects_are_exported_as_they_are_kept(fileset, tmp_path):
    fileset.write(Roi.from_shape(SHAPE), objects())
    (tmp_path / "out").mkdir()
    path = fileset.export_roi(Roi((0, 3, 2, 1, 0), (1, 8, 5, 4, 1)), tmp_path / "out")
    with h5py.File(path) as file:
        assert pickle.loads(file["volume/data"][0, 4, 2, 2, 0].tobytes())["at"] == (0, 7, 4, 3, 0)
