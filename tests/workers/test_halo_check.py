"""The check of a halo: what is said of functions that look further than theirs, and of those that don't."""

import numpy as np
import pytest
from scipy import ndimage

from blockmill.shared.geometry.roi import Roi
from blockmill.workers.halo_check import HaloCheck

VOLUME = np.random.default_rng(0).integers(0, 60000, (60, 70, 80)).astype("u2")
BOUNDS = Roi.from_shape(VOLUME.shape)
BLOCK = Roi((20, 20, 20), (40, 44, 48))


def note(function, halo=(0, 0, 0), *, budget=10**7, pieces=True, volume=VOLUME, block=BLOCK):
    reads = []

    def compute(read_roi, kept_roi):
        reads.append(read_roi.volume)
        result = function(volume[read_roi.to_slice()])
        return result[kept_roi.relative_to(read_roi.start).to_slice()]

    text = HaloCheck(BOUNDS, block, halo, budget, compute, pieces).note()
    assert sum(reads) <= budget
    return text


@pytest.mark.parametrize("size", [3, 5, 7])
def test_a_halo_that_is_too_small_is_told_with_one_that_is_enough(size):
    enough = {3: 1, 5: 2, 7: 4}[size]  # 3 would do as well; powers of two are tried
    assert f"halo: {enough} is enough" in note(lambda block: ndimage.median_filter(block, size))


def test_a_halo_that_is_enough_is_not_spoken_of():
    assert note(lambda block: ndimage.median_filter(block, 3), (1, 1, 1)) == ""
    assert note(lambda block: block * 2) == ""


def test_a_function_of_the_whole_volume_is_told_as_such():
    assert "may not be enough either" in note(lambda block: block - block.mean())
    assert "may not be enough either" in note(lambda block: ndimage.label(block > 30000)[0])


def test_a_random_function_is_left_alone():
    rng = np.random.default_rng(1)
    assert note(lambda block: block + rng.integers(0, 9, block.shape).astype("u2")) == ""


def test_floats_may_differ_by_a_little():
    floats = VOLUME.astype("f4")
    jitter = lambda block: block + np.float32(0.1) * (block.shape[0] % 2)  # noqa: E731
    assert note(jitter, (1, 1, 1), volume=floats) == ""
    assert note(lambda block: block + np.float32(10) * block.shape[0], volume=floats) != ""


def test_nan_is_like_nan():
    floats = VOLUME.astype("f4")
    floats[floats > 30000] = np.nan
    assert note(lambda block: block + 1, volume=floats) == ""
    assert "is enough" in note(lambda block: ndimage.uniform_filter(np.nan_to_num(block), 3), volume=floats)


def test_a_function_that_fails_is_told_by_its_block_and_not_here():
    def fails(block):
        raise RuntimeError

    assert note(fails) == ""


@pytest.mark.parametrize("budget", [0, 1000, 10_000, 30_000, 100_000])
def test_the_budget_is_kept(budget):
    note(lambda block: ndimage.median_filter(block, 3), budget=budget)


def test_a_small_budget_is_enough_for_a_piece():
    assert "halo: 1 is enough" in note(lambda block: ndimage.median_filter(block, 3), budget=30_000)


def test_a_function_that_knows_its_place_gets_no_pieces():
    function = lambda block: ndimage.median_filter(block, 3)  # noqa: E731
    assert note(function, budget=30_000, pieces=False) == ""
    assert note(lambda block: ndimage.uniform_filter(block, 37), (8, 8, 8), pieces=False) != ""
