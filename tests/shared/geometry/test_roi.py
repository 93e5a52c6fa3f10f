import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import OutOfBounds
from blockmill.shared.geometry.roi import Roi


@st.composite
def rois(draw, ndim=3, low=-50, high=50):
    start = draw(st.tuples(*[st.integers(low, high)] * ndim))
    shape = draw(st.tuples(*[st.integers(0, 40)] * ndim))
    return Roi(start, tuple(a + n for a, n in zip(start, shape, strict=True)))


def voxels(roi):
    if roi is None:
        return set()
    found = {()}
    for a, b in zip(roi.start, roi.stop, strict=True):
        found = {(*v, i) for v in found for i in range(a, b)}
    return found


@st.composite
def small_rois(draw):
    start = draw(st.tuples(*[st.integers(-3, 3)] * 2))
    return Roi(start, tuple(a + draw(st.integers(0, 5)) for a in start))


@given(small_rois(), small_rois())
def test_the_intersection_holds_exactly_the_common_voxels(a, b):
    assert voxels(a.intersection(b)) == voxels(a) & voxels(b)


@given(small_rois(), small_rois())
def test_contains_agrees_with_the_sets_of_voxels(a, b):
    if not b.empty:
        assert a.contains(b) == (voxels(b) <= voxels(a))


@given(rois(), st.tuples(*[st.integers(0, 9)] * 3))
def test_growing_and_clipping_keeps_the_roi_itself(roi, halo):
    whole = Roi((-60,) * 3, (100,) * 3)
    grown = roi.grown(halo, within=whole)
    assert grown.contains(roi)
    assert whole.contains(grown)
    assert roi.grown(halo).shape == tuple(n + 2 * h for n, h in zip(roi.shape, halo, strict=True))


@given(rois(), st.tuples(*[st.integers(-9, 9)] * 3))
def test_shifting_back_gives_the_same_roi(roi, offset):
    assert roi.shifted(offset).relative_to(offset) == roi


@given(rois())
def test_a_roi_unpacks_pickles_and_rebuilds(roi):
    start, stop = roi
    assert Roi.of((start, stop)) == Roi.of(roi) == pickle.loads(pickle.dumps(roi)) == roi


def test_the_volume_of_a_huge_roi_is_exact():
    assert Roi.from_shape((10**6, 10**6, 10**6)).volume == 10**18


@pytest.mark.parametrize(
    ("start", "stop"), [((0, 0), (1,)), ((5,), (4,))], ids=["lengths differ", "inside out"]
)
def test_nonsense_is_refused(start, stop):
    with pytest.raises(OutOfBounds):
        Roi(start, stop)


def test_fractions_are_refused():
    with pytest.raises(TypeError):
        Roi((0.5,), (2,))


@pytest.mark.parametrize(
    ("roi", "said"),
    [
        (Roi((0, 0), (3, 5)), r"leaves the box of shape \[3, 4\] on axis 1"),
        (Roi((-1, 0), (3, 4)), "on axis 0"),
        (Roi((0, 2), (3, 2)), "empty on axis 1"),
        (Roi((0,), (3,)), "1 axes, the box has 2"),
    ],
)
def test_a_roi_that_does_not_fit_is_named_with_its_axis(roi, said):
    with pytest.raises(OutOfBounds, match=said):
        roi.check_within((3, 4), "box")
