import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.threshold import Threshold
from blockmill.workers.kernels import BlockContext, kernel_for

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    ">i2",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    ">f4",
    "float64",
]


def threshold(values, **bounds):
    roi = Roi.from_shape(values.shape)
    return kernel_for(Threshold(**bounds))(values, BlockContext(roi, roi, values.shape, "x"))


def truth(value, bounds):
    """Python compares ints and floats by their exact values."""
    met = {
        "above": lambda bound: value > bound,
        "at_least": lambda bound: value >= bound,
        "below": lambda bound: value < bound,
        "at_most": lambda bound: value <= bound,
    }
    return int(all(met[key](bound) for key, bound in bounds.items()))


def test_one_where_the_bounds_are_met():
    values = np.array([0, 99, 100, 101, 255], np.uint8)
    assert threshold(values, above=100).tolist() == [0, 0, 0, 1, 1]
    assert threshold(values, at_least=100).tolist() == [0, 0, 1, 1, 1]
    assert threshold(values, below=100).tolist() == [1, 1, 0, 0, 0]
    assert threshold(values, at_most=100).tolist() == [1, 1, 1, 0, 0]
    assert threshold(values, above=99, at_most=101).tolist() == [0, 0, 1, 1, 0]
    assert threshold(values, above=0, at_least=100, below=255, at_most=100).tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("bounds", [{"above": -1e9}, {"at_most": 1e9}, {"below": 0}, {"at_least": 0}])
def test_nan_meets_no_bound(bounds):
    assert threshold(np.array([np.nan, -np.nan], np.float32), **bounds).tolist() == [0, 0]


def test_large_integers_are_not_rounded_to_floats():
    values = np.array([2**53, 2**53 + 1, 2**64 - 2, 2**64 - 1], np.uint64)
    assert threshold(values, above=2.0**53).tolist() == [0, 1, 1, 1]
    assert threshold(values, above=2**64 - 2).tolist() == [0, 0, 0, 1]
    assert threshold(np.array([2.0**53, 2.0**53 + 2]), at_least=2**53 + 1).tolist() == [0, 1]


def test_a_bound_is_not_rounded_to_the_volumes_dtype():
    # As float32, 0.1 is a little more than 0.1.
    values = np.array([0.1], np.float32)
    assert threshold(values, above=0.1).tolist() == [1]
    assert threshold(values, at_most=0.1).tolist() == [0]


def test_bounds_beyond_the_dtype_hold_for_all_or_none():
    values = np.array([0, 255], np.uint8)
    assert threshold(values, above=255).tolist() == threshold(values, below=-3).tolist() == [0, 0]
    assert threshold(values, above=-1).tolist() == threshold(values, at_most=1000).tolist() == [1, 1]
    extremes = np.array([np.inf, np.finfo(np.float32).max, -np.inf], np.float32)
    assert threshold(extremes, above=1e300).tolist() == [1, 0, 0]
    assert threshold(extremes, at_least=-1e300).tolist() == [1, 1, 0]


@st.composite
def cases(draw):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    seeds = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20)
    if dtype.kind == "b":
        values = np.array(draw(st.lists(st.booleans(), min_size=1)))
    elif dtype.kind == "f":
        numbers = st.floats(width=8 * dtype.itemsize)
        values = np.array(draw(st.lists(numbers, min_size=1, max_size=20)), dtype)
    else:
        values = np.array(draw(seeds), np.uint64).view(dtype.newbyteorder("=")).astype(dtype)
        info = np.iinfo(dtype)
        values[: min(2, values.size)] = [info.min, info.max][: min(2, values.size)]
    near = [
        value + step
        for value in values.tolist()
        if math.isfinite(value)
        for step in (-1, -0.5, 0, 0.5, 1)
        if math.isfinite(value + step) and -(2**63) <= value + step < 2**64
    ]
    bound = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64 - 1)
    bound = st.sampled_from(near) | bound if near else bound
    key = draw(st.sampled_from(["above", "at_least", "below", "at_most"]))
    return values, {key: draw(bound)}


@given(cases())
@example((np.array([2**63 - 1], np.int64), {"at_least": float(2**63)}))
@example((np.array([-0.0, 0.0]), {"above": -0.0}))
@example((np.array([65504, np.inf], np.float16), {"at_least": 65505}))
@example((np.array([0.0, 5e-324, -5e-324]), {"below": 5e-324}))
def test_every_dtype_is_compared_exactly(case):
    values, bounds = case
    result = threshold(values, **bounds)
    assert result.dtype == np.uint8
    assert result.tolist() == [truth(value, bounds) for value in values.tolist()]
