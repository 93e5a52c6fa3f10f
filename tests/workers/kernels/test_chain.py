"""A chain of operations on blocks is what its steps are, one after the other, on whole volumes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockmill.shared.errors import JobError
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.reads import Reads
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.registry import parse_operation
from blockmill.workers.kernels import BlockContext, kernel_for

STEPS = [
    {"gaussian": {"sigma": 0.8}},
    {"gaussian": {"sigma": {"z": 1, "x": 0.4}, "mode": "nearest"}},
    {"gaussian": {"sigma": 0.7, "mode": "constant", "cval": 3.0}},
    {"median": {"size": 3}},
    {"median": {"size": {"y": 5}}},
    {"downsample": {"factor": 2}},
    {"downsample": {"factor": {"z": 3, "yx": 1}, "method": "mode"}},
    {"downsample": {"factor": {"x": 2}, "method": "stride"}},
    {"copy": {"dtype": "float32"}},
    {"arithmetic": {"expression": "input // 2 + 1"}},
    {"threshold": {"above": 40}},
]


def whole(spec, volume, part):
    """One step on a whole volume, of which `part` is processed."""
    reads = Reads(part, spec.scale("zyx"), spec.halo_per_axis("zyx"))
    bounds = Roi.from_shape(volume.shape)
    read_roi = part.grown(reads.halo, within=bounds)
    block = volume[read_roi.to_slice()].copy()
    given_block = {"input": block} if spec.takes_several else block
    return kernel_for(spec)(given_block, BlockContext(read_roi, part, volume.shape, "zyx", part))


@st.composite
def parts(draw, shape):
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return Roi(start, tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)))


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 14)),
    steps=st.lists(st.sampled_from(STEPS), min_size=2, max_size=4),
    block_shape=st.tuples(st.integers(1, 8), st.integers(2, 8), st.integers(3, 8)),
    seed=st.integers(0, 99),
)
def test_a_chain_is_its_steps_on_whole_volumes(data, shape, steps, block_shape, seed):
    volume = np.random.default_rng(seed).integers(0, 120, shape, np.uint8)
    part = data.draw(parts(shape) | st.just(Roi.from_shape(shape)))
    chain = parse_operation(steps)
    try:
        chain.check_inputs("zyx", {"input": volume.dtype})
    except JobError:  # a threshold after a threshold can't be above 40, for instance
        return
    expected, its_part = volume, part
    for step in chain.steps:
        expected = whole(step, expected, its_part)
        its_part = Roi.from_shape(expected.shape)
    chain = chain.resolved("zyx")
    reads = Reads(part, chain.scale("zyx"), chain.halo_per_axis("zyx"))
    assert reads.shape == expected.shape
    result = np.empty(reads.shape, chain.dtype_of({"input": volume.dtype}))
    assert result.dtype == expected.dtype
    kernel = kernel_for(chain)
    for block in BlockGrid(Roi.from_shape(reads.shape), block_shape):
        kept = reads.kept(block)
        read_roi = kept.grown(reads.halo, within=Roi.from_shape(shape))
        voxels = volume[read_roi.to_slice()].copy()
        given_block = {"input": voxels} if chain.takes_several else voxels
        result[block.to_slice()] = kernel(given_block, BlockContext(read_roi, kept, shape, "zyx", part))
    np.testing.assert_array_equal(result, expected)


def test_a_chain_goes_to_plain_json_and_back():
    chain = parse_operation([{"gaussian": {"sigma": 1}}, "copy", {"threshold": {"above": 3}}])
    assert parse_operation(chain.to_plain()) == chain
    assert [step.name for step in chain.steps] == ["gaussian", "copy", "threshold"]
    assert parse_operation(["copy"]) == parse_operation("copy")


def test_a_chain_may_begin_with_several_inputs_and_end_with_a_table():
    chain = parse_operation([{"arithmetic": {"expression": "a + b"}}, {"median": {"size": 3}}, "statistics"])
    assert (chain.takes_several, chain.has_table) == (True, True)
    a, b = np.arange(60, dtype=np.uint8).reshape(3, 4, 5), np.ones((3, 4, 5), np.uint8)
    chain.check_inputs("zyx", {"a": a.dtype, "b": b.dtype})
    roi = Roi.from_shape(a.shape)
    result = kernel_for(chain)({"a": a, "b": b}, BlockContext(roi, roi, a.shape, "zyx", roi))
    reducer = chain.reducer()
    reducer.add(0, result.record)
    assert reducer.table()["count"] == 60


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "list of 0 operations"),
        (["copy", ["copy"]], "list in a list"),
        (["copy", "gausian"], r"operation\[1\]: there is no operation gausian"),
        (["copy", {"gaussian": {"sigma": -1}}], r"operation\[1\]\.gaussian\.sigma: must be at least 0"),
        (["copy"] * 65, "list of 65 operations"),
    ],
)
def test_mistakes_in_a_chain_name_the_step(steps, message):
    with pytest.raises(JobError, match=message):
        parse_operation(steps)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["statistics", "copy"], "statistics gives no voxels, and copy comes after"),
        ([{"copy": {"dtype": "bool"}}, {"gaussian": {"sigma": 1}}], "gaussian can't smooth a volume of bool"),
        (["copy", {"arithmetic": {"expression": "a + 1"}}], "there is no input a"),
    ],
)
def test_steps_that_do_not_fit_each_other_are_refused(steps, message):
    with pytest.raises(JobError, match=message):
        parse_operation(steps).check_inputs("zyx", {"input": np.dtype(np.uint8)})
