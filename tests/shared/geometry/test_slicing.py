import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst

from blockmill.shared.errors import OutOfBounds
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.geometry.slicing import as_roi, picks_of

SHAPE = (4, 5, 6)


@given(npst.basic_indices(SHAPE))
def test_what_is_picked_is_what_numpy_picks(key):
    array = np.arange(120).reshape(SHAPE)
    picks = picks_of(key, SHAPE)
    axes = [[pick] if isinstance(pick, int) else list(pick) for pick in picks]
    kept = tuple(0 if isinstance(pick, int) else slice(None) for pick in picks)
    np.testing.assert_array_equal(array[np.ix_(*axes)][kept], array[key])


@pytest.mark.parametrize(
    ("value", "roi"),
    [
        (None, Roi((0, 0, 0), SHAPE)),
        (..., Roi((0, 0, 0), SHAPE)),
        (np.s_[1:3], Roi((1, 0, 0), (3, 5, 6))),
        (np.s_[1:3, ..., -1], Roi((1, 0, 5), (3, 5, 6))),
        (np.s_[:, 2, 0:100], Roi((0, 2, 0), (4, 3, 6))),
        (([0, 1, 2], (1, 2, 3)), Roi((0, 1, 2), (1, 2, 3))),
        (np.array([[0, 1, 2], [1, 2, 3]]), Roi((0, 1, 2), (1, 2, 3))),
        (Roi((9, 9, 9), (10, 10, 10)), Roi((9, 9, 9), (10, 10, 10))),
    ],
)
def test_a_roi_is_known_by_its_form(value, roi):
    assert as_roi(value, SHAPE) == roi


@pytest.mark.parametrize("value", [5, (1, 2, 3), ((0,), (1,), (2,)), "abc", np.s_[1, 2, 3], object()])
def test_what_is_no_roi_is_told_with_what_is(value):
    with pytest.raises(
        TypeError, match=r"a roi is a pair of corners, \(\(start, \.\.\.\), \(stop, \.\.\.\)\)"
    ):
        as_roi(value, SHAPE)


@pytest.mark.parametrize("value", [np.s_[::2], np.s_[4], np.s_[..., 6], np.s_[0:1, 0:1, 0:1, 0:1]])
def test_a_slicing_that_is_no_box_of_the_volume_is_refused(value):
    with pytest.raises((OutOfBounds, TypeError)):
        as_roi(value, SHAPE)


@pytest.mark.parametrize(
    ("corner", "words"),
    [
        ((1, 2, 65.5), r"65\.5 in \(1, 2, 65\.5\) is no whole number"),
        ((1, 2, 3.0), r"3\.0.* is a float.* write 3"),
        (np.array([1.5, 2]), r"1\.5"),
        (("1", 2), "'1'"),
        (7, "a roi is a pair of corners"),
    ],
)
def test_a_number_that_counts_no_voxels_is_named(corner, words):
    with pytest.raises(TypeError, match=words):
        Roi.of(((0, 0, 0), corner))
