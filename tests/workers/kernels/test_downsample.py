"""Blocks that are reduced one by one are together the whole volume, reduced in exact arithmetic."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from blockmill.shared.errors import JobError
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.reads import Reads
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.downsample import Downsample
from blockmill.shared.operations.registry import parse_operation
from blockmill.workers.kernels import BlockContext, kernel_for

INTEGERS = ["bool", "uint8", "int8", ">u2", "int32", "uint64", "int64"]
FLOATS = ["float16", "float32", ">f4", "float64"]


def boxes(volume, scale):
    """Position in the output, and the values of the box there in C order."""
    for position in itertools.product(*(range(-(-n // s)) for n, s in zip(volume.shape, scale, strict=True))):
        box = tuple(slice(p * s, (p + 1) * s) for p, s in zip(position, scale, strict=True))
        yield position, volume[box].ravel()


def reduced(method, values):
    if method == "stride":
        return values[0]
    if method == "mode":
        return stats.mode(values.astype(int) if values.dtype.kind == "b" else values, keepdims=False).mode
    if values.dtype.kind != "f":
        return round(Fraction(sum(map(int, values)), len(values)))
    total = 0.0
    for value in values.astype(np.float64):
        total += float(value)
    return total / len(values)


@st.composite
def cases(draw, dtypes):
    axes = draw(st.sampled_from(["x", "yx", "zyx", "cyx"]))
    shape = tuple(draw(st.integers(1, 7)) for _ in axes)
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    elements = {"allow_nan": False, "allow_infinity": False}
    if dtype.kind == "f":
        elements |= {"min_value": -1000, "max_value": 1000}
    volume = draw(hnp.arrays(dtype.newbyteorder("="), shape, elements=elements)).astype(dtype)
    factor = draw(st.integers(1, 3) | st.tuples(*[st.integers(1, 4)] * len(axes)))
    method = draw(st.sampled_from(["mean", "mode", "stride"]))
    spec = Downsample(factor=factor, method=method)
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    part = Roi(start, tuple(draw(st.integers(b + 1, n)) for b, n in zip(start, shape, strict=True)))
    reads = Reads(part, spec.scale(axes), spec.halo_per_axis(axes))
    grid = BlockGrid(Roi.from_shape(reads.shape), tuple(draw(st.integers(1, 3)) for _ in axes))
    return axes, volume, spec, reads, grid


@given(cases(INTEGERS) | cases(FLOATS))
def test_blocks_together_are_the_whole(case):
    axes, volume, spec, reads, grid = case
    kernel, dtype = kernel_for(spec), spec.output_dtype(volume.dtype)
    out = np.empty(reads.shape, dtype)
    for block in grid:
        kept = reads.kept(block)
        context = BlockContext(kept, kept, volume.shape, axes)
        result = kernel(volume[kept.to_slice()].copy(), context)
        assert result.dtype == dtype
        out[block.to_slice()] = result
    whole = volume[reads.part.to_slice()].astype(dtype)
    expected = np.empty(reads.shape, dtype)
    for position, values in boxes(whole, reads.scale):
        expected[position] = reduced(spec.method, values)
    np.testing.assert_array_equal(out, expected)  # -0.0 and 0.0 are one value to a mode


@pytest.mark.parametrize(
    ("dtype", "values", "mean"),
    [
        ("uint8", [1, 2], 2),  # 1.5
        ("uint8", [2, 3], 2),  # 2.5
        ("int8", [-1, -2], -2),
        ("int8", [-2, -3], -2),
        ("uint64", [2**64 - 1, 2**64 - 1], 2**64 - 1),
        ("uint64", [2**64 - 1, 2**64 - 2], 2**64 - 2),
        ("int64", [-(2**63), -(2**63) + 1], -(2**63)),
        ("int64", [2**63 - 1, -(2**63)], 0),  # -0.5
    ],
)
def test_a_mean_of_integers_is_exact_and_rounded_half_to_even(dtype, values, mean):
    both = Roi((0,), (2,))
    context = BlockContext(both, both, (2,), "x")
    (result,) = kernel_for(Downsample(factor=2))(np.array(values, dtype), context)
    assert int(result) == mean


def test_one_number_is_for_the_spatial_axes():
    assert parse_operation({"downsample": {"factor": 2}}).scale("tzyxc") == (1, 2, 2, 2, 1)


def test_a_mean_of_complex_numbers_is_refused_and_a_stride_is_not():
    with pytest.raises(JobError, match="use method: stride"):
        Downsample(factor=2).check("yx", np.dtype(np.complex64))
    Downsample(factor=2, method="stride").check("yx", np.dtype(np.complex64))
