import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.daemon.planning.plan import make_plan
from blockmill.daemon.planning.sizing import Sizing
from blockmill.shared.errors import JobError, OutOfBounds
from blockmill.shared.geometry.reads import Reads
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job import Job
from blockmill.shared.volumes.base.memory import MemoryVolume
from blockmill.shared.volumes.registry import format_named


def job(**fields):
    return Job.model_validate(
        {"input": "in.npy", "output": "out.json", "operation": {"gaussian": {"sigma": 1.5}}, **fields}
    )


def volume(shape=(100, 90, 80), dtype=np.uint8):
    return MemoryVolume(np.zeros(shape, dtype), axes="zyx"[-len(shape) :])


def plan(source=None, workers=2, **fields):
    return make_plan(job(**fields), {"input": source or volume()}, workers, format_named("blockwise"))


def output(**fields):
    return {"address": "out.json", **fields}


def test_a_plan_knows_what_comes_out():
    made = plan(output=output(block_shape=[32, 32, 32]))
    assert (made.shape, made.dtype, made.axes, made.halo) == ((100, 90, 80), np.uint8, "zyx", (6, 6, 6))
    assert made.storage_block == (32, 32, 32)


def test_the_output_of_a_roi_has_the_shape_of_the_roi():
    made = plan(roi=[[10, 20, 30], [50, 60, 70]])
    assert made.roi.start == (10, 20, 30)
    assert made.grid.roi.start == (0, 0, 0)
    assert made.shape == (40, 40, 40)


def reads(shape, halo, scale=1):
    return Reads(Roi.from_shape(shape), (scale,) * 3, (halo,) * 3)


@given(
    shape=st.tuples(*[st.integers(1, 300)] * 3),
    step=st.tuples(*[st.integers(1, 70)] * 3),
    halo=st.integers(0, 20),
    memory=st.integers(1 << 16, 1 << 30),
)
def test_a_chosen_block_is_whole_storage_blocks_and_fits(shape, step, halo, memory):
    sizing = Sizing(reads(shape, halo), step, 4.0, memory, 16)
    block = sizing.grow(step)
    assert all(n % s == 0 for n, s in zip(block, step, strict=True))
    if block != step:
        assert sizing.task_bytes(block) <= memory
        assert math.prod(-(-m // n) for m, n in zip(shape, block, strict=True)) >= 16


def test_a_large_halo_makes_larger_tasks():
    small = Sizing(reads((1024,) * 3, 0), (64,) * 3, 4.0, 1 << 30, 16).grow((64,) * 3)
    large = Sizing(reads((1024,) * 3, 16), (64,) * 3, 4.0, 1 << 30, 16).grow((64,) * 3)
    assert math.prod(large) > math.prod(small)


def test_an_explicit_task_block_becomes_whole_storage_blocks_and_says_so():
    made = plan(output=output(block_shape=[32, 32, 32]), block_shape=[50, 64, 10])
    assert made.grid.block_shape == (64, 64, 32)
    assert "[50, 64, 10] become [64, 64, 32]" in made.notes[0]


def test_a_task_block_that_covers_the_volume_is_no_surprise():
    made = plan(output=output(block_shape=[64, 64, 64]), block_shape=[100, 90, 80])
    assert made.notes == ()
    assert len(made.grid) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"roi": [[0, 0, 0], [101, 9, 9]]}, r"roi: .* leaves the input .* on axis 0"),
        ({"roi": [[0, 0], [9, 9]]}, "2 axes, the input .* has 3"),
    ],
)
def test_a_roi_outside_is_refused_by_name(fields, message):
    with pytest.raises(OutOfBounds, match=message):
        plan(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"output": output(block_shape=[32, 32])}, "output.block_shape: .* 2 axes, the volume has 3"),
        ({"block_shape": [1, 1, 1, 1]}, "block_shape: .* 4 axes"),
        ({"memory_per_worker": "1MiB", "block_shape": [96, 96, 96]}, "memory_per_worker"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(fields, message):
    with pytest.raises(JobError, match=message):
        plan(**fields)


def test_a_block_shape_beyond_the_volume_is_the_volume():
    made = plan(block_shape=[1, 100_000, 100_000], output=output(block_shape=[1, 90, 80]))
    assert made.grid.block_shape == (1, 90, 80)
    assert made.notes == ()
    whole = plan(block_shape=[100_000] * 3, output=output(block_shape=[64, 64, 64]))
    assert whole.grid.block_shape == (100, 90, 80)
    assert len(whole.grid) == 1
