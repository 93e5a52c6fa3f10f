import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blockmill.shared.errors import BlockError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.copy import Copy
from blockmill.shared.operations.dtypes import value_range
from blockmill.shared.schema.fields import DTYPES
from blockmill.workers.kernels import BlockContext, kernel_for


def copied(values, dtype=None, clip=False, start=None):
    roi = Roi.from_shape(values.shape).shifted(start or (0,) * values.ndim)
    return kernel_for(Copy(dtype=dtype, clip=clip))(
        values, BlockContext(roi, roi, (99,) * values.ndim, "zyx")
    )


@pytest.mark.parametrize("dtype", ["bool", "uint64", ">f4", "complex128", "S3"])
def test_a_plain_copy_is_the_same_in_native_order(dtype):
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    result = copied(values)
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, values)


def test_the_first_voxel_that_does_not_fit_is_named_in_volume_coordinates():
    values = np.zeros((3, 4), np.uint16)
    values[1, 2], values[2, 0] = 300, 999
    with pytest.raises(BlockError) as caught:
        copied(values, "uint8", start=(10, 20))
    assert str(caught.value) == (
        "copy to uint8: voxel [11, 22] is 300, which uint8 can't hold exactly (it goes from 0 to 255); "
        "choose a wider dtype, or clip: true for the nearest value"
    )


def test_a_voxel_far_into_a_large_block_is_named_too():
    values = np.zeros((50, 40, 30), np.float32)
    values[49, 38, 7] = 0.5
    with pytest.raises(BlockError, match=r"voxel \[49, 38, 7\] is 0\.5"):
        copied(values, "uint8")


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_nan_never_becomes_an_integer(dtype, clip):
    values = np.array([1.0, np.nan, 300.5], np.float32)
    with pytest.raises(BlockError, match=r"voxel \[1\] is nan, .* replace NaN before this step"):
        copied(values, dtype, clip)


def test_clipping_takes_the_nearest_value_and_halves_to_even():
    values = np.array([-np.inf, -3.2, 0.5, 1.5, 2.5, 254.5, 255.5, 1e30, np.inf])
    assert copied(values, "uint8", clip=True).tolist() == [0, 0, 0, 2, 2, 254, 255, 255, 255]
    assert copied(np.array([-7, 0, 3]), "bool", clip=True).tolist() == [False, False, True]
    largest = np.array([2.0**63, 2.0**64, -(2.0**63)])
    assert copied(largest, "int64", clip=True).tolist() == [2**63 - 1, 2**63 - 1, -(2**63)]
    assert copied(largest, "uint64", clip=True).tolist() == [2**63, 2**64 - 1, 0]
    assert copied(np.array([1e300, -1e300, np.inf]), "float32", clip=True).tolist() == [
        float(np.finfo(np.float32).max),
        float(np.finfo(np.float32).min),
        np.inf,
    ]


def test_rounding_to_a_narrower_float_is_meant_but_overflow_is_not():
    values = np.array([0.1, np.nan, np.inf, 1e-300])
    np.testing.assert_array_equal(copied(values, "float32"), values.astype(np.float32))
    with pytest.raises(BlockError, match=r"voxel \[0\] is 1e\+300"):
        copied(np.array([1e300]), "float32")


def test_large_integers_are_not_rounded_unasked():
    with pytest.raises(BlockError, match=r"voxel \[1\] is 9007199254740993"):
        copied(np.array([2**53, 2**53 + 1]), "float64")
    for integers in (
        np.array([2**63 - 1]),
        np.array([2**64 - 1], np.uint64),
        np.array([2**24 + 1], np.int32),
    ):
        with pytest.raises(BlockError, match="can't hold exactly"):
            copied(integers, "float32")
    assert copied(np.array([2**53, -(2**63)]), "float64").tolist() == [2.0**53, -(2.0**63)]
    assert copied(np.array([2**53 + 1]), "float64", clip=True).tolist() == [2.0**53]


SOURCES = [*DTYPES, ">u2", ">i8", ">f4"]


@st.composite
def cases(draw):
    source, target = np.dtype(draw(st.sampled_from(SOURCES))), draw(st.sampled_from(DTYPES))
    if source.kind == "f":
        numbers = st.floats(width=8 * source.itemsize, allow_nan=False)
        limits = [float(limit) for limit in value_range(np.dtype(target))]
        near = [limit + step for limit in limits for step in (-1, -0.5, 0, 0.5, 1)]
        numbers |= st.sampled_from(near if source.itemsize == 8 else [0.0, 1.0, 0.5, 255.0, 256.0])
    elif source.kind == "b":
        numbers = st.booleans()
    else:
        lowest, highest = value_range(source)
        numbers = st.integers(lowest, highest) | st.sampled_from([lowest, highest, 0, 1])
        numbers |= st.integers(max(lowest, -300), min(highest, 300))
    values = np.array(draw(st.lists(numbers, min_size=1, max_size=6)), source)
    return values, target


def nearest(value, target):
    """The value of a dtype nearest to an exact number, by Python's arithmetic of fractions."""
    lowest, highest = value_range(np.dtype(target))
    if np.dtype(target).kind == "f":
        if math.isinf(value):
            return value
        number = np.dtype(target).type
        with np.errstate(over="ignore"):
            close = number(value)
            around = [close, np.nextafter(close, number(-np.inf)), np.nextafter(close, number(np.inf))]
        bits = f"uint{8 * close.itemsize}"
        distances = [
            (abs(Fraction(c.item()) - Fraction(value)), int(c.view(bits)) & 1, c.item())
            for c in around
            if math.isfinite(c)
        ]
        return min(distances)[2]
    if math.isinf(value):
        return highest if value > 0 else lowest
    return min(max(round(Fraction(value)), lowest), highest)


@given(cases())
@example((np.array([2**63 - 1, 2**64 - 1], np.uint64), "int64"))
@example((np.array([2**31 - 1], np.int32), "float32"))
@example((np.array([65504.0], np.float16), "int16"))
@example((np.array([65519, 65520, 70000, 2**31 - 1], np.int32), "float16"))
@example((np.array([2**63 - 1, 2**60 + 2**36 + 1]), "float32"))
def test_conversions_are_exact_or_refused_and_nearest_with_clip(case):
    values, target = case
    expected = [nearest(value, target) for value in values.tolist()]
    clipped = copied(values, target, clip=True)
    assert clipped.dtype == np.dtype(target)
    assert clipped.tolist() == expected
    narrows = values.dtype.kind == "f" and np.dtype(target).kind == "f"
    with np.errstate(over="ignore"):
        fitting = (np.isinf(values.astype(target)) == np.isinf(values)).tolist() if narrows else expected
    exact = [
        fits if narrows else got == value
        for value, got, fits in zip(values.tolist(), expected, fitting, strict=True)
    ]
    if all(exact):
        assert copied(values, target).tolist() == expected
    else:
        with pytest.raises(BlockError, match=rf"voxel \[{exact.index(False)}\] is "):
            copied(values, target)
