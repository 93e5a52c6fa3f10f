import io
import os

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import CorruptBlock
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.block_file import read_part, updated_image
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5.layout import DatasetLayout, axistags, new_image

WHOLE = Roi((0, 0), (6, 8))


def test_axistags_are_the_text_that_vigra_prints():
    assert axistags("tu") == (
        '{\n  "axes": [\n    {\n      "key": "t",\n      "typeFlags": 8,\n      "resolution": 0,\n'
        '      "description": ""\n    },\n    {\n      "key": "u",\n      "typeFlags": 32,\n'
        '      "resolution": 0,\n      "description": ""\n    }\n  ]\n}'
    )


def test_a_part_of_a_new_file_leaves_other_chunks_unwritten():
    layout = DatasetLayout(np.dtype("u2"), "yx", chunks=(2, 2))
    image = new_image(layout, "a/d", (6, 8), Roi((0, 0), (2, 3)), sample((2, 3), "u2"))
    with h5py.File(io.BytesIO(image)) as file:
        assert file["a/d"].id.get_num_chunks() == 2
        assert not file["a/d"][2:].any()


def test_an_image_is_made_of_its_inputs_alone():
    layout = DatasetLayout(np.dtype("u1"), "yx", compression="gzip", drange=(0, 9))
    data = sample((6, 8))
    assert new_image(layout, "d", (6, 8), WHOLE, data) == new_image(layout, "d", (6, 8), WHOLE, data)


def test_an_updated_image_grows_as_it_must_and_a_broken_one_is_told():
    layout = DatasetLayout(np.dtype("u1"), "yx", chunks=(512, 512))
    shape = (2048, 2048)
    small = new_image(layout, "d", shape, Roi((0, 0), (1, 1)), np.ones((1, 1), "u1"))
    data = sample((2048, 2048))
    large = updated_image(small, layout, "d", shape, Roi((0, 0), shape), data)
    with h5py.File(io.BytesIO(large)) as file:
        np.testing.assert_array_equal(file["d"][...], data)
    for broken in (b"", b"garbage" * 500, small[: len(small) // 2]):
        with pytest.raises(CorruptBlock):
            updated_image(broken, layout, "d", shape, Roi((0, 0), (1, 1)), np.ones((1, 1), "u1"))


def test_a_dataset_of_another_dtype_is_made_anew_with_its_voxels():
    old = new_image(DatasetLayout(np.dtype("f4"), "yx"), "d", (6, 8), WHOLE, np.full((6, 8), 7, "f4"))
    layout = DatasetLayout(np.dtype("u1"), "yx")
    new = updated_image(old, layout, "d", (6, 8), Roi((0, 0), (1, 1)), np.ones((1, 1), "u1"))
    with h5py.File(io.BytesIO(new)) as file:
        assert file["d"].dtype == np.dtype("u1")
        assert file["d"][0, :2].tolist() == [1, 7]


def test_no_file_stays_open_after_reading(tmp_path):
    path = tmp_path / "b.h5"
    path.write_bytes(new_image(DatasetLayout(np.dtype("u1"), "yx"), "d", (6, 8), WHOLE, sample((6, 8))))
    before = len(os.listdir("/proc/self/fd"))
    np.testing.assert_array_equal(read_part(str(path), "d", Roi((1, 2), (3, 4))), sample((6, 8))[1:3, 2:4])
    with pytest.raises(CorruptBlock):
        read_part(str(path), "other", WHOLE)
    assert len(os.listdir("/proc/self/fd")) == before
