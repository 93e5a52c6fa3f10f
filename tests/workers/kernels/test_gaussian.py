import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter

from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.gaussian import Gaussian
from blockmill.workers.kernels import BlockContext, kernel_for

DTYPES = [
    "uint8",
    "int8",
    "uint16",
    ">u2",
    "int32",
    "uint64",
    "int64",
    "float32",
    ">f4",
    "float64",
    "complex64",
]


def by_blocks(spec, volume, grid):
    full_roi, kernel = Roi.from_shape(volume.shape), kernel_for(spec)
    out = np.empty(volume.shape, spec.output_dtype(volume.dtype))
    for roi in grid:
        read_roi = roi.grown(spec.halo_per_axis("zyx"[-volume.ndim :]), within=full_roi)
        context = BlockContext(read_roi, roi, volume.shape, "zyx"[-volume.ndim :])
        out[roi.to_slice()] = kernel(volume[read_roi.to_slice()].copy(), context)
    return out


def whole_by_scipy(spec, volume):
    return gaussian_filter(
        volume, spec.sigmas("zyx"[-volume.ndim :]), mode=spec.mode, cval=spec.cval, truncate=spec.truncate
    )


@st.composite
def cases(draw):
    shape = draw(hnp.array_shapes(max_dims=3, max_side=9))
    seed, dtype = draw(st.integers(0, 2**32 - 1)), np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(seed)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        # Within a double's 53 bits nothing overflows in the sums, where the result would be undefined.
        top = min(int(info.max), 2**53)
        volume = rng.integers(max(int(info.min), -top), top, shape, endpoint=True).astype(dtype)
    else:
        volume = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 9, shape)).astype(dtype)
    sigma = st.one_of(st.just(0), st.sampled_from([1e-16, 0.1, 0.3]), st.floats(0.2, 4))
    spec = Gaussian(
        sigma=draw(sigma | st.tuples(*[sigma] * len(shape))),
        truncate=draw(st.sampled_from([0.5, 2.0, 4.0])),
        mode=draw(st.sampled_from(["reflect", "nearest", "mirror", "constant"])),
        cval=draw(st.sampled_from([0.0, 7.5, -3.0])) if dtype.kind != "u" else 1.0,
    )
    block = tuple(draw(st.integers(1, 10)) for _ in shape)
    anchor = tuple(draw(st.integers(0, 4)) for _ in shape)
    return spec, volume, BlockGrid(Roi.from_shape(shape), block, anchor)


@given(cases())
def test_blocks_together_are_the_whole_bit_for_bit(case):
    spec, volume, grid = case
    assert by_blocks(spec, volume, grid).tobytes() == whole_by_scipy(spec, volume).tobytes()


@given(cases(), st.data())
def test_what_is_not_finite_stays_where_scipy_puts_it(case, data):
    spec, volume, grid = case
    if volume.dtype.kind != "f":
        volume = np.asarray(volume.real, np.float64)
    for value in (np.nan, np.inf, -np.inf):
        volume[tuple(data.draw(st.integers(0, n - 1)) for n in volume.shape)] = value
    np.testing.assert_array_equal(by_blocks(spec, volume, grid), whole_by_scipy(spec, volume))


def test_a_block_in_the_middle_is_not_told_from_the_whole():
    volume = np.random.default_rng(3).integers(0, 256, (40, 41, 42), np.uint8)
    spec = Gaussian(sigma=(1.5, 0, 2))
    grid = BlockGrid(Roi((8, 9, 10), (30, 31, 33)), (7, 8, 9))
    expected = whole_by_scipy(spec, volume)
    kernel = kernel_for(spec)
    for roi in grid:
        read_roi = roi.grown(spec.halo_per_axis("zyx"), within=Roi.from_shape(volume.shape))
        block = volume[read_roi.to_slice()].copy()  # kernels work in place
        result = kernel(block, BlockContext(read_roi, roi, volume.shape, "zyx"))
        np.testing.assert_array_equal(result, expected[roi.to_slice()])


def test_a_halo_that_is_too_small_would_be_noticed():
    volume = np.random.default_rng(3).random((30,))
    spec, roi = Gaussian(sigma=2), Roi((10,), (20,))
    read_roi = roi.grown((spec.halo_per_axis("x")[0] - 1,))
    result = kernel_for(spec)(volume[read_roi.to_slice()], BlockContext(read_roi, roi, (30,), "x"))
    assert not np.array_equal(result, whole_by_scipy(spec, volume)[10:20])


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_memory_order_of_a_block_does_not_matter(order):
    volume = np.asarray(np.random.default_rng(5).random((9, 8, 7)), order=order)
    spec, full_roi = Gaussian(sigma=1), Roi.from_shape(volume.shape)
    right = whole_by_scipy(spec, volume)
    np.testing.assert_array_equal(
        kernel_for(spec)(volume, BlockContext(full_roi, full_roi, volume.shape, "zyx")), right
    )
