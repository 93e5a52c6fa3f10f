import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import OutOfBounds
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi


@st.composite
def grids(draw):
    ndim = draw(st.integers(1, 3))
    start = draw(st.tuples(*[st.integers(-7, 9)] * ndim))
    roi = Roi(start, tuple(a + draw(st.integers(1, 9)) for a in start))
    block = draw(st.tuples(*[st.integers(1, 6)] * ndim))
    anchor = draw(st.one_of(st.just(()), st.just(roi.start), st.tuples(*[st.integers(-5, 5)] * ndim)))
    return BlockGrid(roi, block, anchor)


@given(grids())
def test_blocks_tile_the_roi(grid):
    hits = np.zeros(grid.roi.shape, int)
    for block in grid:
        assert grid.roi.contains(block)
        hits[block.relative_to(grid.roi.start).to_slice()] += 1
    assert (hits == 1).all()
    assert sum(1 for _ in grid) == len(grid)


@given(grids())
def test_the_edges_inside_lie_on_the_grid(grid):
    for block in grid:
        for a, b, lo, hi, o, n in zip(
            block.start, block.stop, grid.roi.start, grid.roi.stop, grid.anchor, grid.block_shape, strict=True
        ):
            assert a == lo or (a - o) % n == 0
            assert b == hi or (b - o) % n == 0
            assert b - a <= n


@given(grids())
def test_numbers_and_positions_are_each_others_reverse(grid):
    for number in range(len(grid)):
        assert grid.number_of(grid.index_of(number)) == number


@given(grids(), st.data())
def test_touching_gives_exactly_the_blocks_that_share_a_voxel(grid, data):
    ndim = grid.roi.ndim
    start = data.draw(st.tuples(*[st.integers(-10, 15)] * ndim))
    roi = Roi(start, tuple(a + data.draw(st.integers(0, 9)) for a in start))
    assert list(grid.touching(roi)) == [block for block in grid if block.intersection(roi)]


def test_absolute_and_relative_alignment():
    roi = Roi((10,), (50,))
    assert [b.start[0] for b in BlockGrid(roi, (32,))] == [10, 32]
    assert [b.start[0] for b in BlockGrid(roi, (32,), roi.start)] == [10, 42]


def test_a_huge_grid_costs_nothing_until_it_is_asked():
    grid = BlockGrid(Roi.from_shape((10**7, 10**7, 10**7)), (10, 10, 10))
    assert len(grid) == 10**18
    assert grid.roi_of(10**18 - 1).stop == (10**7,) * 3


@pytest.mark.parametrize(
    ("roi", "block"),
    [(Roi((0,), (0,)), (3,)), (Roi((0,), (5,)), (0,)), (Roi((0,), (5,)), (1, 1))],
    ids=["empty roi", "zero block", "other axes"],
)
def test_nonsense_is_refused(roi, block):
    with pytest.raises(OutOfBounds):
        BlockGrid(roi, block)


@pytest.mark.parametrize("number", [-1, 2])
def test_a_number_outside_is_refused(number):
    with pytest.raises(IndexError):
        BlockGrid(Roi((0,), (5,)), (3,)).index_of(number)
