"""The median of blocks together is scipy's median of the whole volume."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import median_filter

from blockmill.shared.errors import JobError
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.median import Median
from blockmill.shared.operations.registry import parse_operation
from blockmill.workers.kernels import BlockContext, kernel_for

DTYPES = ["bool", "uint8", "int8", "uint16", ">u2", "int32", "uint64", "int64", "float32", ">f4", "float64"]


@st.composite
def cases(draw):
    axes = draw(st.sampled_from(["x", "yx", "zyx", "cyx", "tzyx"]))
    shape = tuple(draw(st.integers(1, 7)) for _ in axes)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    volume = draw(hnp.arrays(dtype.newbyteorder("="), shape, elements={"allow_nan": False}))
    size = draw(st.integers(1, 4) | st.tuples(*[st.integers(1, 4)] * len(axes)))
    mode = draw(st.sampled_from(["reflect", "nearest", "mirror", "constant"]))
    grid = BlockGrid(Roi.from_shape(shape), tuple(draw(st.integers(1, 7)) for _ in axes))
    return axes, volume.astype(dtype), Median(size=size, mode=mode, cval=1.0), grid


@given(cases())
def test_blocks_together_are_the_whole(case):
    axes, volume, spec, grid = case
    kernel, whole = kernel_for(spec), Roi.from_shape(volume.shape)
    out = np.empty(volume.shape, spec.output_dtype(volume.dtype))
    for roi in grid:
        read_roi = roi.grown(spec.halo_per_axis(axes), within=whole)
        context = BlockContext(read_roi, roi, volume.shape, axes)
        out[roi.to_slice()] = kernel(volume[read_roi.to_slice()].copy(), context)
    sizes = [
        n if letter in "xyz" or isinstance(spec.size, tuple) else 1
        for letter, n in zip(axes, spec.sizes(axes), strict=True)
    ]
    if spec.mode == "mirror":  # where it has one voxel, scipy takes values from beyond the array
        sizes = [1 if n == 1 else size for n, size in zip(volume.shape, sizes, strict=True)]
    native = volume.astype(volume.dtype.newbyteorder("="))
    expected = median_filter(native, size=sizes, mode=spec.mode, cval=1.0)
    assert out.dtype == expected.dtype
    np.testing.assert_array_equal(out, expected)  # which of 0.0 and -0.0 comes first is up to scipy


def test_one_number_is_for_the_spatial_axes():
    assert parse_operation({"median": {"size": 3}}).halo_per_axis("tzyxc") == (0, 1, 1, 1, 0)
    assert parse_operation({"median": {"size": {"yx": 5}}}).sizes("zyx") == (1, 5, 5)


@pytest.mark.parametrize("dtype", ["float16", "complex64", "longdouble"])
def test_what_scipy_refuses_is_refused_before_any_block(dtype):
    with pytest.raises(JobError, match="median does not take"):
        Median(size=3).check("zyx", np.dtype(dtype))


@pytest.mark.parametrize("size", [0, -1, 1.5, [], {}, {"zz": 2}])
def test_sizes_that_mean_nothing_are_refused(size):
    with pytest.raises(JobError, match=r"operation\.median\.size"):
        parse_operation({"median": {"size": size}})
