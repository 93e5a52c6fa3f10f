"""The halo of a user's function is checked while its job runs."""

import numpy as np
import pytest

WORDS = "the result depends on voxels outside of its halo"


@pytest.fixture
def volume(bench):
    voxels = np.random.default_rng(0).integers(0, 60000, (40, 96, 128)).astype("u2")
    np.save(bench.folder / "in.npy", voxels)


def run(bench, **parameters):
    operation = {"python": {"function": "scipy.ndimage:median_filter", "args": {"size": 3}, **parameters}}
    job = bench.job(input="in.npy", output="out.npy", block_shape=[20, 48, 64], operation=operation)
    return bench.run("run", job, "--overwrite")[1]


def test_seams_are_told_with_the_halo_that_is_enough(bench, volume):
    assert f"{WORDS}, so the output has seams between blocks; halo: 1 is enough" in run(bench)


def test_a_halo_that_is_enough_is_not_spoken_of(bench, volume):
    assert WORDS not in run(bench, halo=1)


def test_the_check_can_be_turned_off(bench, volume):
    assert WORDS not in run(bench, halo_check=False)


def test_the_check_does_not_change_what_a_job_is(bench, volume):
    run(bench, halo=1)
    operation = {
        "python": {
            "function": "scipy.ndimage:median_filter",
            "args": {"size": 3},
            "halo": 1,
            "halo_check": False,
        }
    }
    job = bench.job(input="in.npy", output="out.npy", block_shape=[20, 48, 64], operation=operation)
    assert "8 found finished" in bench.run("run", job)[0]
