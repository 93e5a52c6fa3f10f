import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import OutOfBounds
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.lazyflow import roitools as rt

ENDS = st.none() | st.integers(-30, 30)
INDEX = st.builds(slice, ENDS, ENDS) | st.integers(-6, 5)


@given(st.lists(INDEX, max_size=3), st.integers(0, 3))
def test_a_slicing_takes_what_its_roi_takes(items, dots_at):
    if dots_at <= len(items):
        items.insert(dots_at, Ellipsis)
    array = np.arange(6 * 7 * 8).reshape(6, 7, 8)
    roi = rt.slice_to_roi(tuple(items), array.shape)
    assert array[rt.roi_to_slice(*roi)].ravel().tolist() == array[tuple(items)].ravel().tolist()


def test_an_int_gives_one_voxel_or_none():
    assert rt.slice_to_roi(3, (5, 4)) == Roi((3, 0), (4, 4))
    assert rt.slice_to_roi((-1, slice(1, 2)), (5, 4), extend_singleton=False) == Roi((4, 1), (4, 2))
    assert rt.slice_to_roi(..., ()) == Roi((), ())


@pytest.mark.parametrize("slicing", [5, -6, slice(0, 4, 2), (0, 0, 0), (..., ...)])
def test_slicings_that_are_no_box_of_the_volume_are_refused(slicing):
    with pytest.raises(OutOfBounds):
        rt.slice_to_roi(slicing, (5, 5))


def test_a_new_axis_is_no_index():
    with pytest.raises(TypeError):
        rt.slice_to_roi((None, 1), (5, 5))


def test_slices_are_of_plain_ints():
    (only,) = rt.roi_to_slice(np.array([1]), np.array([3]))
    assert type(only.start) is type(only.stop) is int
    with pytest.raises(OutOfBounds):
        rt.roi_to_slice([1, 2], [3])
    assert rt.full_slicing((2, 3)) == (slice(0, 2), slice(0, 3))
    assert rt.roi_from_shape((2, 3)) == Roi((0, 0), (2, 3))


def test_a_slicing_is_written_as_in_an_index():
    assert rt.slicing_to_string((slice(2, 5), slice(None), 3, ...)) == "[2:5, :, 3, ...]"
    assert rt.slicing_to_string((slice(0, 5), slice(1, 9)), (5, 10)) == "[:, 1:9]"


def test_an_intersection_needs_a_common_voxel():
    assert rt.get_intersection([(0, 0), (5, 5)], [(3, 4), (9, 9)]) == Roi((3, 4), (5, 5))
    touching = [(0, 0), (5, 5)], [(5, 0), (9, 9)]
    with pytest.raises(OutOfBounds):
        rt.get_intersection(*touching)
    assert rt.get_intersection(*touching, must_intersect=False) is None


def test_the_bounds_of_the_last_block_are_clipped():
    assert rt.get_block_bounds((25, 20), (10, 10), (20, 10)) == Roi((20, 10), (25, 20))
    for start in [(5, 0), (30, 0), (-10, 0)]:
        with pytest.raises(OutOfBounds):
            rt.get_block_bounds((25, 20), (10, 10), start)


@given(
    st.lists(st.tuples(st.integers(-40, 40), st.integers(1, 25), st.integers(1, 12)), min_size=1, max_size=3)
)
def test_the_intersecting_blocks_are_those_that_share_a_voxel(axes):
    start, extent, block = zip(*axes, strict=True)
    roi = Roi(start, tuple(a + n for a, n in zip(start, extent, strict=True)))
    expected = [
        [s for s in range(-60 * n, 100 * n, n) if s < b and s + n > a]
        for a, b, n in zip(roi.start, roi.stop, block, strict=True)
    ]
    got = rt.get_intersecting_blocks(block, roi)
    assert got.dtype == np.int64
    assert got.tolist() == [list(p) for p in itertools.product(*expected)]
    grid = rt.get_intersecting_blocks(block, roi, as_array=True)
    assert grid.shape == (*map(len, expected), len(axes))
    assert grid.reshape(got.shape).tolist() == got.tolist()


def test_an_empty_roi_meets_the_block_around_it_alone():
    assert rt.get_intersecting_blocks((10,), ([20], [20])).shape == (0, 1)
    assert rt.get_intersecting_blocks((10,), ([25], [25])).tolist() == [[20]]


@pytest.mark.parametrize("block", [(10, 0), (10,)])
def test_blocks_without_extent_or_axis_are_refused(block):
    with pytest.raises(OutOfBounds):
        rt.get_intersecting_blocks(block, ([0, 0], [5, 5]))


def test_intersecting_rois_are_clipped_to_the_roi_or_the_dataset():
    roi = ([5, 0], [25, 10])
    assert rt.get_intersecting_rois((25, 10), (10, 10), roi) == [
        Roi((5, 0), (10, 10)),
        Roi((10, 0), (20, 10)),
        Roi((20, 0), (25, 10)),
    ]
    whole = rt.get_intersecting_rois((25, 10), (10, 10), roi, clip_blocks_to_roi=False)
    assert whole[0] == Roi((0, 0), (10, 10))
    assert whole[-1] == Roi((20, 0), (25, 10))
    with pytest.raises(OutOfBounds):
        rt.get_intersecting_rois((24, 10), (10, 10), roi)


def test_containing_rois_are_those_around_the_inner_one():
    rois = [([0, 0, 0], [10, 10, 10]), ([5, 3, 2], [11, 12, 13]), ([4, 6, 4], [5, 9, 9])]
    assert rt.containing_rois(rois, ([5, 4, 3], [9, 9, 9])).tolist() == [
        [list(a), list(b)] for a, b in rois[:2]
    ]
    assert rt.containing_rois(rois, ([100, 100, 100], [200, 200, 200])).shape == (0, 2, 3)
    assert rt.containing_rois([], ([1], [2])).shape == (0,)
    assert rt.is_fully_contained(([1], [2]), ([1], [2]))
    assert not rt.is_fully_contained(([0], [2]), ([1], [2]))


def test_the_box_around_data_is_as_small_as_it_can_be():
    data = np.zeros((10, 12, 9), np.float32)
    assert rt.nonzero_bounding_box(data) == Roi((0, 0, 0), (0, 0, 0))
    data[2, 3, 4] = data[5, 3, 8] = -1
    assert rt.nonzero_bounding_box(data) == Roi((2, 3, 4), (6, 4, 9))


def test_a_halo_grows_the_chosen_axes_up_to_the_volume():
    enlarged, result = rt.enlarge_roi_for_halo(
        ([10, 10, 10], [20, 20, 20]), (24, 100, 100), 1.5, window=2, enlarge_axes=(1, 1, 0)
    )
    assert enlarged == Roi((7, 7, 10), (23, 23, 20))
    assert result == Roi((3, 3, 0), (13, 13, 10))
    enlarged, result = rt.enlarge_roi_for_halo(([1, 5], [9, 9]), (10, 10), (3.0, 0.1))
    assert enlarged == Roi((0, 4), (10, 10))
    assert result == Roi((1, 1), (9, 5))


def test_a_blockwise_view_is_the_array_itself():
    array = np.arange(24).reshape(4, 6)
    view = rt.blockwise_view(array, (2, 3))
    assert view.shape == (2, 2, 2, 3)
    assert view[1, 0].tolist() == array[2:4, :3].tolist()
    view[0, 1, 1, 2] = -5
    assert array[1, 5] == -5
    with pytest.raises(OutOfBounds):
        rt.blockwise_view(array, (3, 3))
    assert rt.blockwise_view(array, (3, 3), require_aligned_blocks=False).shape == (1, 2, 3, 3)


def test_a_blockwise_view_may_be_a_list_of_blocks():
    array = np.arange(24).reshape(4, 6)
    blocks = rt.blockwise_view(array, (2, 3), as_list=True)
    assert [block.tolist() for block in blocks] == [
        array[y : y + 2, x : x + 3].tolist() for y in (0, 2) for x in (0, 3)
    ]
    blocks[3][0, 0] = -7
    assert array[2, 3] == -7
