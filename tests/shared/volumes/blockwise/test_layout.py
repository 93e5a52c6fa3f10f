import pytest

from blockmill.shared.errors import JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.layout import Naming, roi_string


def test_blocks_are_named_by_absolute_start_and_roi():
    paths = Naming("/data/blocks", "xyz", "blockFile-{roiString}.h5/volume/data").paths(
        Roi((0, 50, 0), (100, 100, 50))
    )
    directory = "/data/blocks/x_00000000/y_00000050/z_00000000"
    assert paths.directory == directory
    assert paths.file == f"{directory}/blockFile-([0, 50, 0], [100, 100, 50]).h5"
    assert paths.internal == "volume/data"
    assert paths.lock == f"{paths.file}.lock"
    assert paths.status == f"{directory}/STATUS.txt"


def test_sub_directories_in_the_format_leave_the_status_in_the_block_directory():
    paths = Naming("/r", "x", "a/b/{roiString}.hdf5/d").paths(Roi((5,), (9,)))
    assert paths.file == "/r/x_00000005/a/b/([5], [9]).hdf5"
    assert paths.status == "/r/x_00000005/STATUS.txt"


def test_long_numbers_widen_the_name():
    assert Naming("/", "x", "{roiString}.h5/d").directory((1234567890,)) == "/x_1234567890"


def test_numbers_are_plain_whatever_their_type():
    import numpy as np

    assert roi_string((np.int64(1), 2), (np.uint8(3), 4)) == "([1, 2], [3, 4])"
    assert Naming("/", "x", "{roiString}.h5/d").paths_of_numpy2(Roi((1,), (2,))).file == (
        "/x_00000001/([np.int64(1)], [np.int64(2)]).h5"
    )


@pytest.mark.parametrize(
    ("text", "name", "internal"),
    [
        ("b-{roiString}.h5/d", "b-([0], [1]).h5", "d"),
        ("b-{roiString}.h5//a//b/", "b-([0], [1]).h5", "a/b"),
        ("x.h5/{roiString}.h5/d", "x.h5/([0], [1]).h5", "d"),
        ("b-{roiString}.h5/d.h5", "b-([0], [1]).h5", "d.h5"),
        ("b.h5.{roiString}.ilp/d.h5x/y", "b.h5.([0], [1]).ilp", "d.h5x/y"),
        ("b.h5/{roiString}", "b.h5", "([0], [1])"),
        ("./b-{roiString:>12}.h5/d", "b-  ([0], [1]).h5", "d"),
    ],
)
def test_the_file_ends_at_the_last_component_that_has_a_dataset_behind_it(text, name, internal):
    assert Naming("/", "x", text).split((0,), (1,)) == (name, internal)


@pytest.mark.parametrize(
    "text",
    [
        "{roiString}.h5",
        "{roiString}/d",
        "{roiString}.h5x/d",
        "/a{roiString}.h5/d",
        "a/../../{roiString}.h5/d",
    ],
)
def test_formats_that_lead_to_no_dataset_in_the_block_are_refused(text):
    with pytest.raises(JobError):
        Naming("/", "x", text).split((0,), (1,))
