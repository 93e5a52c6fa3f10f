import numpy as np
import pytest

from blockmill.shared.errors import CorruptBlock, JobError, MissingBlock, OutOfBounds, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.base.api import Volume
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.blockwise.filled import FilledFileset
from blockmill.shared.volumes.conformance import VolumeTests


def make(tmp_path, dtype="u1", **options):
    """A view of 20 x 20 voxels in blocks of 8 x 8; that at (8, 8) is missing, all others are 3."""
    description = FilesetDescription(
        axes="yx",
        shape=(28, 20),
        dtype=dtype,
        block_shape=(8, 8),
        view_origin=(8, 0),
        block_file_name_format="b-{roiString}.h5/d",
        **options,
    )
    fileset = BlockwiseFileset.create(tmp_path / "v.json", description)
    fileset.write(Roi((0, 0), (20, 20)), np.full((20, 20), 3, dtype))
    fileset.set_block_status((8, 8), False)
    return fileset


class TestFilledFileset(VolumeTests):
    writable = False

    def make(self, directory, data, axes):
        description = FilesetDescription(
            axes=axes,
            shape=data.shape,
            dtype=data.dtype,
            block_shape=tuple(min(4, n) for n in data.shape),
            block_file_name_format="b-{roiString}.h5/d",
        )
        with BlockwiseFileset.create(directory / "v.json", description) as fileset:
            fileset.write(None, data)
        return FilledFileset(directory / "v.json")


def test_only_the_missing_part_is_filled_and_the_block_is_told(tmp_path):
    reader = FilledFileset(make(tmp_path), missing=9)
    wanted = np.full((20, 20), 3, "u1")
    wanted[8:16, 8:16] = 9
    voxels, missing = reader.read_and_report(Roi((2, 5), (13, 20)))
    np.testing.assert_array_equal(voxels, wanted[2:13, 5:20])
    assert missing == ((8, 8),)
    assert reader.read_and_report(Roi((0, 0), (8, 20))).missing == ()


def test_a_destination_is_filled_with_both(tmp_path):
    reader = FilledFileset(make(tmp_path), missing=9)
    out = np.zeros((20, 40), "f4")
    assert reader.read(Roi((0, 0), (20, 20)), out[:, ::2]).base is out
    assert out[10, 20] == 9
    assert out[0, 0] == 3
    assert not out[:, 1::2].any()
    with pytest.raises(ValueError, match="shape"):
        reader.read(Roi((8, 8), (9, 9)), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("dtype", "drange", "values"),
    [("u1", None, {0, 255}), ("i2", None, {0, 32767}), ("f4", None, {0, 1}), ("f4", (-2.0, 5.0), {-2, 5})],
)
def test_the_pattern_spans_the_values_and_goes_on_across_requests(tmp_path, dtype, drange, values):
    reader = FilledFileset(make(tmp_path, dtype, drange=drange))
    whole = reader.read(Roi((8, 8), (16, 16)))
    assert set(np.unique(whole)) == values
    assert whole.dtype == np.dtype(dtype)
    pieces = [reader.read(Roi((8, a), (16, b))) for a, b in ((8, 11), (11, 16))]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)


def test_raising_is_a_policy_too(tmp_path):
    with pytest.raises(MissingBlock) as caught:
        FilledFileset(make(tmp_path), missing="raise").read(Roi((0, 0), (20, 20)))
    assert caught.value.block_start == (8, 8)


def test_what_is_damaged_is_never_taken_for_missing(tmp_path):
    fileset = make(tmp_path)
    with open(fileset.block_file((0, 0)), "wb") as file:
        file.write(b"garbage")
    with pytest.raises(CorruptBlock):
        FilledFileset(fileset).read(Roi((0, 0), (20, 20)))


@pytest.mark.parametrize("value", [256, -1, 0.5, "zeros"])
def test_a_filling_that_is_none_is_refused(tmp_path, value):
    with pytest.raises(JobError):
        FilledFileset(make(tmp_path), missing=value)


def test_it_is_a_volume_for_reading_that_tells_what_the_original_tells(tmp_path):
    make(tmp_path, drange=(0, 9))
    reader = FilledFileset(tmp_path / "v.json")
    assert isinstance(reader, Volume)
    assert (reader.shape, reader.axes, reader.drange) == ((20, 20), "yx", (0, 9))
    with pytest.raises(OutOfBounds):
        reader.read(Roi((0, 0), (21, 20)))
    with pytest.raises(StorageError, match="reading"):
        reader.write(Roi((0, 0), (1, 1)), np.zeros((1, 1), "u1"))
    with pytest.raises(JobError, match=r"nowhere\.json"):
        FilledFileset(tmp_path / "nowhere.json")
