import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import OutOfBounds
from blockmill.shared.lazyflow.blockshapes import determine_block_shape, determine_optimal_request_block_shape

EXTENTS = st.lists(st.integers(1, 500), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("largest", "target", "block"),
    [
        ((1000, 2000, 3000, 1), 1e6, (100, 100, 100, 1)),
        ((1, 100, 5, 200, 3), 1000, (1, 8, 5, 8, 3)),
        ((10, 10), 1e9, (10, 10)),
    ],
)
def test_blocks_are_cubes_as_far_as_the_volume_allows(largest, target, block):
    assert determine_block_shape(largest, target) == block


@pytest.mark.parametrize(("largest", "target"), [((0, 10), 5), ((10, 10), 0)])
def test_no_block_without_voxels(largest, target):
    with pytest.raises(OutOfBounds):
        determine_block_shape(largest, target)


@given(EXTENTS, st.integers(1, 10**7))
def test_a_block_never_exceeds_its_target_or_its_bounds(largest, target):
    block = determine_block_shape(largest, target)
    assert math.prod(block) <= target
    assert all(1 <= n <= m for n, m in zip(block, largest, strict=True))


@pytest.mark.parametrize(
    ("per_voxel", "threads", "ram", "block"),
    [
        (4, 10, 1e6, (158, 158, 1)),
        (4, 10, 1e9, (1000, 1000, 24)),
        (100000, 10, 1000, (64, 64, 1)),
    ],
)
def test_a_request_fits_into_a_threads_share_of_the_memory(per_voxel, threads, ram, block):
    assert (
        determine_optimal_request_block_shape((1000, 1000, 100), (0, 0, 1), per_voxel, threads, ram) == block
    )


@given(st.data(), EXTENTS, st.integers(1, 10**9))
def test_a_request_is_whole_ideal_steps_or_less_than_one(data, largest, ram):
    ideal = [data.draw(st.integers(0, m)) for m in largest]
    block = determine_optimal_request_block_shape(largest, ideal, 1, 1, ram)
    step = [i or m for i, m in zip(ideal, largest, strict=True)]
    assert math.prod(block) <= max(4096, ram)
    assert all(1 <= n <= m for n, m in zip(block, largest, strict=True))
    whole = all(n % s == 0 for n, s in zip(block, step, strict=True))
    assert whole or math.prod(step) >= max(4096, ram)


def test_senseless_bounds_are_refused():
    with pytest.raises(OutOfBounds):
        determine_optimal_request_block_shape((10, 10), (1,), 1, 1, 100)
    with pytest.raises(OutOfBounds):
        determine_optimal_request_block_shape((10,), (1,), 0, 1, 100)
