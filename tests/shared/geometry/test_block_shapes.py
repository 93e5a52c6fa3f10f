import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.geometry.block_shapes import block_count, default_block_shape, halved, most_cubic
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi

SHAPES = st.lists(st.integers(1, 500), min_size=1, max_size=5).map(tuple)


@given(SHAPES, st.integers(1, 10**7))
def test_the_most_cubic_block_never_exceeds_its_target_or_its_bounds(largest, target):
    block = most_cubic(largest, target)
    assert math.prod(block) <= target
    assert all(1 <= n <= m for n, m in zip(block, largest, strict=True))


@given(SHAPES, st.integers(1, 10**7), st.randoms())
def test_the_order_of_the_axes_makes_no_difference_to_the_sides(largest, target, chance):
    order = list(range(len(largest)))
    chance.shuffle(order)
    block = most_cubic(tuple(largest[axis] for axis in order), target)
    assert sorted(block) == sorted(most_cubic(largest, target))


@pytest.mark.parametrize(
    ("largest", "target", "block"),
    [
        ((1000, 2000, 3000, 1), 10**6, (100, 100, 100, 1)),
        ((1, 100, 5, 200, 3), 1000, (1, 8, 5, 8, 3)),
        ((10, 10), 10**9, (10, 10)),
        ((500, 500), 7, (3, 2)),
        ((), 5, ()),
    ],
)
def test_a_side_is_the_root_of_what_is_left_rounded(largest, target, block):
    assert most_cubic(largest, target) == block


@given(st.tuples(*[st.integers(1, 5000)] * 5))
def test_the_default_block_is_inside_the_volume_and_of_bounded_size(shape):
    block = default_block_shape(shape, "tzyxc", voxels=10_000)
    assert block[0] == 1
    assert block[4] == shape[4]
    assert all(1 <= n <= m for n, m in zip(block, shape, strict=True))
    assert math.prod(block[:4]) <= max(10_000 // shape[4], 1)


def test_the_default_block_gives_short_axes_away_to_long_ones():
    assert default_block_shape((10, 1000, 1000), "zyx", voxels=10 * 100 * 100) == (10, 100, 100)


def test_the_default_block_of_a_volume_with_time_alone_is_one_point():
    assert default_block_shape((7, 3), "tc") == (1, 3)


@given(SHAPES)
def test_a_half_covers_the_block_in_two_and_only_the_longest_axis_shrinks(block):
    half = halved(block)
    assert block_count(block, half) == (1 if max(block) == 1 else 2)
    changed = [axis for axis, (a, b) in enumerate(zip(block, half, strict=True)) if a != b]
    assert changed == ([] if max(block) == 1 else [block.index(max(block))])


@given(st.integers(1, 3).flatmap(lambda n: st.tuples(*[st.tuples(*[st.integers(1, 9)] * n)] * 2)))
def test_the_count_is_that_of_the_grid(shapes):
    shape, block = shapes
    assert block_count(shape, block) == len(BlockGrid(Roi.from_shape(shape), block))
