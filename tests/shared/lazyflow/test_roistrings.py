import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.lazyflow.roistrings import format_subregion, parse_roi, parse_subregion


def test_a_roi_is_written_as_lazyflow_writes_it_whatever_its_numbers_are():
    roi = (np.array([0, 0, 10]), np.array([10, 10, 20]))
    assert format_subregion(roi) == "SubRegion:SubRegion(None, [0, 0, 10], [10, 10, 20])"


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(1, 99)), min_size=1, max_size=6))
def test_what_is_written_is_read_again(pairs):
    roi = Roi(tuple(a for a, _ in pairs), tuple(a + n for a, n in pairs))
    assert parse_subregion(format_subregion(roi)) == roi


@pytest.mark.parametrize(
    "text",
    [
        "[(1, 2), (3, 4)]",
        "(1, 2), (3, 4)",
        "([1, 2], [3, 4])",
        " [[1,2],[3,4]]",
        "[1, 2], [3, 4]",
        "[ (1, 2), (3, 4)]",
    ],
)
def test_lists_and_tuples_are_taken_alike(text):
    assert parse_roi(text) == Roi((1, 2), (3, 4))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[0, 0], [1, 1]",
        "SubRegion:SubRegion(None, [0], [1, 1])",
        "SubRegion:SubRegion(None, [0.0], [1.5])",
        "SubRegion:SubRegion(None, [0], [1], [2])",
        "SubRegion:SubRegion(None, [True], [2])",
        "SubRegion:SubRegion(slot, [0], [1])",
        "SubRegion:SubRegion(None, [0], [1]) ; rm",
        "SubRegion:SubRegion(None, *__import__('os').getcwd())",
        "SubRegion:SubRegion(None, 1, 2)",
        "SubRegion:SubRegion(None, )",
    ],
)
def test_anything_else_is_refused_and_not_run(text):
    with pytest.raises(JobError, match="is no roi"):
        parse_subregion(text)
