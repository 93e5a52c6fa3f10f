"""Axes mean something to jobs: lengths are for the spatial ones, and the voxel size reaches the output."""

import json

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

SHAPE = (3, 2, 8, 20, 20)
SIZE = [0.0, 0.0, 2.0, 0.5, 0.25]


def movie(bench, axes="tczyx", **attributes):
    """A float volume `in.h5/v` that says what its axes are, unless `axes` is None."""
    voxels = np.random.default_rng(3).random(SHAPE, dtype="f4")
    with h5py.File(bench.folder / "in.h5", "w") as file:
        dataset = file.create_dataset("v", data=voxels)
        for dimension, letter in zip(dataset.dims, axes or (), strict=False):
            dimension.label = letter
        dataset.attrs.update(attributes)
    return voxels


def smooth(bench, sigma, source="in.h5/v", output="out.h5/v"):
    return bench.run("run", bench.job(input=source, output=output, operation={"gaussian": {"sigma": sigma}}))


@pytest.mark.parametrize(
    ("axes", "sigma", "each"),
    [
        ("tczyx", 1.5, [0, 0, 1.5, 1.5, 1.5]),
        ("tzcyx", 1.5, [0, 1.5, 0, 1.5, 1.5]),
        ("tczyx", {"z": 1, "yx": 2}, [0, 0, 1, 2, 2]),
        ("tczyx", {"t": 1}, [1, 0, 0, 0, 0]),
        ("tczyx", [1, 0, 0, 2, 0], [1, 0, 0, 2, 0]),
    ],
)
def test_time_and_channels_are_smoothed_only_where_they_are_named(bench, axes, sigma, each):
    voxels = movie(bench, axes)
    smooth(bench, sigma)
    np.testing.assert_array_equal(bench.read("out.h5/v"), gaussian_filter(voxels, each))


def test_a_guess_is_told_and_the_job_can_say_better(bench):
    voxels = movie(bench, axes=None)
    _, err = smooth(bench, 1.5)
    assert "taken as tczyx" in err
    assert "axes: tczyx}" in err
    np.testing.assert_array_equal(bench.read("out.h5/v"), gaussian_filter(voxels, [0, 0, 1.5, 1.5, 1.5]))
    with h5py.File(bench.folder / "out.h5") as file:
        assert "axistags" not in file["v"].attrs
    said = {"address": "in.h5/v", "axes": "tzcyx"}
    _, err = smooth(bench, 1.5, said, "said.json")
    assert "taken as" not in err
    np.testing.assert_array_equal(bench.read("said.json"), gaussian_filter(voxels, [0, 1.5, 0, 1.5, 1.5]))
    assert json.loads((bench.folder / "said.json").read_text())["axes"] == "tzcyx"


def test_a_guess_stays_a_guess_in_the_next_job(bench):
    movie(bench, axes=None)
    bench.run("run", bench.job(input="in.h5/v", output="a.json", operation="copy"))
    _, err = smooth(bench, 1, "a.json", "b.json")
    assert "a.json does not say what its axes are: taken as tczyx" in err
    out, _ = bench.run("volume", "info", "b.json")
    assert "tczyx (a guess" in out


def test_what_the_job_says_wins_and_the_difference_is_told(bench):
    movie(bench)
    _, err = smooth(bench, 1, {"address": "in.h5/v", "axes": "tzcyx"})
    assert "says that its axes are tczyx, the job says tzcyx" in err


def test_half_done_work_is_not_finished_under_another_meaning(bench):
    movie(bench)
    smooth(bench, {"zyx": 1})
    smooth(bench, 1)  # another spelling of the same
    job = bench.job(
        input={"address": "in.h5/v", "axes": "tzcyx"}, output="out.h5/v", operation={"gaussian": {"sigma": 1}}
    )
    _, err = bench.run("run", job, code=6)
    assert "sigma" in err


@pytest.mark.parametrize("way", [["out.h5/v"], ["mid.json", "out.h5/v"]], ids=["direct", "through a fileset"])
def test_voxel_size_origin_and_range_reach_the_output(bench, way):
    movie(bench, resolution=SIZE, units=["s", "", "um", "um", "um"], drange=[0.0, 1.0])
    source = "in.h5/v"
    for output in way:
        job = bench.job(input=source, output=output, operation="copy")
        bench.run("run", job)
        source = output
    with h5py.File(bench.folder / "out.h5") as file:
        attributes = dict(file["v"].attrs)
    assert attributes["resolution"].tolist() == SIZE
    assert attributes["element_size_um"].tolist() == [2.0, 0.5, 0.25]
    assert attributes["drange"].tolist() == [0.0, 1.0]
    assert list(attributes["units"]) == ["s", "", "um", "um", "um"]


def test_the_origin_of_a_part_is_where_it_was_cut(bench):
    movie(bench, resolution=SIZE, units=["s", "", "um", "um", "um"])
    roi = [[0, 0, 4, 10, 0], [3, 2, 8, 20, 20]]
    bench.run("run", bench.job(input="in.h5/v", output="out.h5/v", operation="copy", roi=roi))
    with h5py.File(bench.folder / "out.h5") as file:
        assert file["v"].attrs["offset"].tolist() == [0, 0, 8.0, 5.0, 0]
    out, _ = bench.run("volume", "info", "out.h5/v", "--json")
    assert json.loads(out)["origin"] == [0, 0, 8.0, 5.0, 0]


def test_a_function_is_told_the_axes_that_the_job_says(bench):
    movie(bench, axes=None)
    (bench.folder / "mine.py").write_text(
        "def tell(block, context):\n    return block * 0 + (context.axes == 'tzcyx') * len(context.axes)\n"
    )
    job = bench.job(
        input={"address": "in.h5/v", "axes": "tzcyx"},
        output="out.npy",
        operation={"python": {"function": "mine:tell", "halo": 1}},
        user_code=".",
    )
    bench.run("run", job)
    assert set(np.unique(bench.read("out.npy"))) == {5}
