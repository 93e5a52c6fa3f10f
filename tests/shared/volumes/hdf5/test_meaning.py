"""Axes, voxel size, origin and range in the attributes of HDF5 datasets."""

import json

import h5py
import numpy as np
import pytest

from blockmill.shared.volumes.base.info import Meaning
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume

SHAPE = (2, 3, 4, 5)


def tags(axes, resolution=None):
    sizes = resolution or [0] * len(axes)
    entries = [
        {"key": key, "typeFlags": 2, "resolution": size, "description": "d" + key}
        for key, size in zip(axes, sizes, strict=True)
    ]
    return json.dumps({"axes": entries})


@pytest.fixture
def read(tmp_path):
    def read(prepare, shape=SHAPE):
        path = tmp_path / "v.h5"
        with h5py.File(path, "w") as file:
            prepare(file.create_dataset("v", data=np.zeros(shape, "u1")))
        volume = Hdf5Volume(path, "v")
        try:
            return volume.meaning
        finally:
            volume.close()

    return read


def label(dataset, letters):
    for dimension, letter in zip(dataset.dims, letters, strict=True):
        dimension.label = letter


def test_without_any_word_the_axes_are_a_guess(read):
    assert read(lambda dataset: None) == Meaning(axes="czyx", axes_from="guess")


@pytest.mark.parametrize(
    ("prepare", "axes"),
    [
        (lambda d: d.attrs.__setitem__("axistags", tags("tzyx")), "tzyx"),
        (lambda d: d.attrs.__setitem__("axes", "tzyx"), "tzyx"),
        (lambda d: d.attrs.__setitem__("axes", b"tzyx"), "tzyx"),
        (lambda d: label(d, "zcyx"), "zcyx"),
        (lambda d: (label(d, "zcyx"), d.attrs.__setitem__("axistags", tags("tzyx"))), "tzyx"),
    ],
    ids=["axistags", "axes", "bytes", "labels", "both"],
)
def test_axes_are_read_where_people_keep_them(read, prepare, axes):
    found = read(prepare)
    assert (found.axes, found.axes_from) == (axes, "file")


@pytest.mark.parametrize(
    "prepare",
    [
        lambda d: label(d, ["time", "z", "y", "x"]),
        lambda d: label(d, ["z", "z", "y", "x"]),
        lambda d: d.attrs.__setitem__("axes", "zyx"),
        lambda d: d.attrs.__setitem__("axes", [1, 2]),
        lambda d: d.attrs.__setitem__("axistags", "no JSON"),
        lambda d: d.attrs.__setitem__("axistags", tags("zyx")),
        lambda d: d.attrs.__setitem__("axistags", '{"axes": [1]}'),
        lambda d: d.attrs.__setitem__("axistags", '{"axes": 5}'),
        lambda d: d.attrs.__setitem__("axistags", "5"),
        lambda d: d.attrs.__setitem__("axistags", 5),
        lambda d: d.attrs.__setitem__("axistags", tags(["xy", "z", "y", "x"])),
    ],
)
def test_words_that_do_not_fit_are_no_words(read, prepare):
    assert read(prepare).guessed


def test_the_voxel_size_is_read_where_people_keep_it(read):
    fiji = read(lambda d: d.attrs.__setitem__("element_size_um", [2.0, 0.5, 0.25]))
    assert (fiji.voxel_size, fiji.units) == ((0.0, 2.0, 0.5, 0.25), ("", "um", "um", "um"))
    assert fiji.micrometers() == (2.0, 0.5, 0.25)
    assert fiji.guessed
    three = read(lambda d: d.attrs.__setitem__("element_size_um", [2.0, 0.5, 0.25]), (3, 4, 5))
    assert (three.axes, three.axes_from) == ("zyx", "file")
    vigra = read(lambda d: d.attrs.__setitem__("axistags", tags("tzyx", [3, 2, 0.5, 0.25])))
    assert (vigra.voxel_size, vigra.descriptions) == ((3, 2, 0.5, 0.25), ("dt", "dz", "dy", "dx"))

    def cremi(dataset):
        dataset.attrs["resolution"] = [40.0, 4.0, 4.0]
        dataset.attrs["offset"] = [80.0, 0.0, 8.0]
        dataset.attrs["units"] = "nm"

    found = read(cremi, (3, 4, 5))
    assert (found.voxel_size, found.origin, found.units) == ((40, 4, 4), (80, 0, 8), ("nm",) * 3)
    assert found.micrometers() == pytest.approx((0.04, 0.004, 0.004))


@pytest.mark.parametrize("value", [[1.0, 2.0], "much", [np.nan, 1, 1], [[1, 1, 1]]])
def test_a_voxel_size_that_does_not_fit_is_none(read, value):
    assert read(lambda d: d.attrs.__setitem__("element_size_um", value)).voxel_size is None


def test_what_is_written_is_read_again_and_by_others(tmp_path):
    meaning = Meaning(
        axes="czyx",
        voxel_size=(0.0, 2.0, 0.5, 0.25),
        units=("", "um", "um", "um"),
        origin=(0.0, 20.0, 0.0, 1.0),
        drange=(0, 200),
        descriptions=("dye", "", "", ""),
    )
    volume = Hdf5Volume.create(tmp_path / "v.h5", "a/v", SHAPE, "u1", meaning=meaning)
    volume.close()
    again = Hdf5Volume(tmp_path / "v.h5", "a/v")
    assert again.meaning == meaning
    again.close()
    with h5py.File(tmp_path / "v.h5") as file:
        dataset = file["a/v"]
        assert [dimension.label for dimension in dataset.dims] == list("czyx")
        assert dataset.attrs["element_size_um"].tolist() == [2.0, 0.5, 0.25]
        noted = json.loads(dataset.attrs["axistags"])["axes"]
        assert [tag["resolution"] for tag in noted] == [0.0, 2.0, 0.5, 0.25]


def test_guessed_axes_are_not_written(tmp_path):
    guess = Meaning(axes="czyx", axes_from="guess", voxel_size=(1.0,) * 4)
    Hdf5Volume.create(tmp_path / "v.h5", "v", SHAPE, "u1", meaning=guess).close()
    with h5py.File(tmp_path / "v.h5") as file:
        assert set(file["v"].attrs) == {"resolution"}  # which is true of each axis, whatever its name


def test_a_part_of_a_volume_begins_elsewhere():
    whole = Meaning(axes="zyx", voxel_size=(2.0, 0.5, 0.25), origin=(10.0, 0.0, 0.0))
    assert whole.of_part((5, 4, 0)).origin == (20.0, 2.0, 0.0)
    assert whole.of_part((0, 0, 0)) == whole
    assert Meaning(axes="zyx").of_part((5, 4, 0)) == Meaning(axes="zyx")
