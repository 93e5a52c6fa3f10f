"""Statistics of blocks, added up in any order, are those of numpy for the whole volume."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blockmill.shared.errors import JobError
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.registry import parse_operation
from blockmill.workers.kernels import BlockContext, kernel_for

WHOLE = ["bool", "uint8", "int8", ">u2", "int16", "uint32", ">i4", "int64", "uint64"]
FLOATS = ["float16", "float32", ">f8"]


def records_of(spec, volume, block_shape):
    kernel, grid = kernel_for(spec), BlockGrid(Roi.from_shape(volume.shape), block_shape)
    for number, roi in enumerate(grid):
        context = BlockContext(roi, roi, volume.shape, "zyx"[-volume.ndim :])
        result = kernel(volume[roi.to_slice()].copy(), context)
        assert result.array is None
        yield number, result.record


def table_of(volume, block_shape=(2, 3), order=None, **parameters):
    spec = parse_operation({"statistics": parameters})
    spec.check("yx", volume.dtype)
    records = list(records_of(spec, volume, block_shape))
    random.Random(order).shuffle(records)
    reducer = spec.reducer()
    for number, record in records:
        reducer.add(number, record)
        other = spec.reducer()
        other.load(reducer.state())
        assert other.table() == reducer.table()
        reducer = other
    return reducer.table()


@given(
    volume=st.sampled_from(WHOLE).flatmap(
        lambda d: hnp.arrays(np.dtype(d), hnp.array_shapes(min_dims=2, max_dims=2))
    ),
    block=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    order=st.integers(0, 9),
)
def test_whole_numbers_are_added_up_exactly(volume, block, order):
    table = table_of(volume, block, order)
    values = [int(value) for value in volume.ravel()]
    mean = Fraction(sum(values), len(values))
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    assert (table["count"], table["not_finite"]) == (volume.size, 0)
    assert (table["min"], table["max"], table["sum"]) == (min(values), max(values), sum(values))
    assert table["mean"] == float(mean)
    assert table["std"] == pytest.approx(float(variance) ** 0.5, rel=1e-15)
    if volume.dtype.itemsize <= 2:
        found, counts = np.unique(volume.astype(np.int64), return_counts=True)
        assert table["histogram"] == {"values": found.tolist(), "counts": counts.tolist()}
        assert table["median"] == np.median(volume)
    else:
        assert not {"histogram", "median"} & set(table)


@given(
    volume=st.sampled_from(FLOATS).flatmap(lambda d: hnp.arrays(np.dtype(d), (5, 7))),
    order=st.integers(0, 9),
)
def test_floats_come_near_to_those_of_numpy_in_any_order(volume, order):
    table = table_of(volume, (2, 3), order)
    assert table == table_of(volume, (2, 3), order + 1)
    finite = volume[np.isfinite(volume)].astype(np.longdouble)
    assert (table["count"], table["not_finite"]) == (finite.size, volume.size - finite.size)
    if not finite.size:
        assert (table["min"], table["mean"], table["std"]) == (None, None, None)
        return
    assert (table["min"], table["max"]) == (finite.min(), finite.max())
    span = float(np.abs(finite).max())
    assert table["mean"] == pytest.approx(float(finite.mean()), rel=1e-12, abs=1e-13 * span)
    assert table["std"] == pytest.approx(float(finite.std()), rel=1e-7, abs=1e-7 * span)


def test_a_mean_far_from_zero_costs_no_digits():
    volume = np.random.default_rng(1).normal(1e9, 1.0, (40, 50))
    assert table_of(volume, (7, 9))["std"] == pytest.approx(
        float(volume.astype(np.longdouble).std()), rel=1e-7
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_a_histogram_with_bins_is_that_of_numpy(dtype):
    volume = (100 * np.random.default_rng(1).random((30, 40))).astype(dtype)
    counts, edges = np.histogram(volume.astype(np.float64), 7, (10.5, 88))
    found = table_of(volume, (7, 9), bins=7, range=[10.5, 88])["histogram"]
    assert found["counts"] == counts.tolist()
    np.testing.assert_array_equal(found["edges"], edges)


def test_the_halo_does_not_count():
    spec = parse_operation("statistics")
    block = np.arange(30).reshape(5, 6)
    context = BlockContext(Roi((0, 0), (5, 6)), Roi((1, 2), (4, 5)), (9, 9), "yx")
    reducer = spec.reducer()
    reducer.add(0, kernel_for(spec)(block, context).record)
    assert reducer.table()["sum"] == block[1:4, 2:5].sum()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bins": 7}, "go together"),
        ({"range": [0, 1]}, "go together"),
        ({"bins": 7, "range": [1, 1]}, "the lower first"),
        ({"bins": 7, "range": [1]}, "two numbers"),
        ({"bins": 100_000, "range": [0, 1]}, "at most 65536"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters, message):
    with pytest.raises(JobError, match=message):
        parse_operation({"statistics": parameters})


def test_dtypes_without_an_order_are_refused():
    with pytest.raises(JobError, match="does not take complex128"):
        parse_operation("statistics").check("yx", np.dtype(complex))


@pytest.mark.parametrize("record", [b"", b"x", b"\x91\xa1a"])
def test_what_is_no_record_is_refused(record):
    with pytest.raises(ValueError, match="no record of statistics"):
        parse_operation("statistics").reducer().add(0, record)
