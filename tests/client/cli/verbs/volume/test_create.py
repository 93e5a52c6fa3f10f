import numpy as np
import pytest

from blockmill.client.cli.verbs.volume.create import cells, create_sample
from blockmill.client.formatting.exit_codes import BAD_FILE
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

SHAPE = (96, 128, 130)  # blocks of 64 voxels, the last ones clipped


def made(path, seed=1, shape=SHAPE):
    assert create_sample(str(path), ",".join(map(str, shape)), seed, False) == 0
    with BlockwiseFileset(path) as fileset:
        return fileset.read(Roi.from_shape(fileset.shape))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return made(tmp_path_factory.mktemp("sample") / "cells.json")


def test_the_sample_is_a_fileset_of_the_shape_that_was_asked_for(image):
    assert (image.shape, image.dtype) == (SHAPE, np.uint8)


def test_the_same_seed_gives_the_same_voxels_and_another_others(tmp_path, image):
    assert np.array_equal(made(tmp_path / "again.json"), image)
    assert not np.array_equal(made(tmp_path / "other.json", seed=2), image)


def test_bright_cells_lie_on_a_dark_ground(image):
    bright = image > 60
    assert 0.05 < bright.mean() < 0.6
    assert abs(float(np.median(image[~bright])) - 22) < 5
    assert image[bright].mean() > 100


def test_neighbours_within_cells_are_alike(image):
    shifted = np.corrcoef(image[1:].ravel(), image[:-1].ravel())[0, 1]
    assert shifted > 0.8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_no_step_shows_at_the_border_of_a_block(image, axis):
    along = np.moveaxis(image.astype(float), axis, 0)
    differences = np.diff(along, axis=0)
    means, sizes = np.abs(differences.mean((1, 2))), np.abs(differences).mean((1, 2))
    inner = np.arange(len(means)) % 64 != 63
    for border in np.flatnonzero(~inner):
        assert means[border] <= means[inner].max()
        assert sizes[border] <= sizes[inner].max()
        ground = (along[border] < 45) & (along[border + 1] < 45)
        assert abs(differences[border][ground].mean()) < 0.5


def test_cells_go_on_across_any_cut():
    whole = cells(Roi((0, 0, 0), (96, 96, 96)), 5).astype(float)
    part = cells(Roi((24, 25, 26), (72, 71, 70)), 5)
    difference = whole[24:72, 25:71, 26:70] - part
    # Two draws of noise of 6 each; a cell that one cut lacks differs by about 100.
    assert np.abs(difference).max() < 60
    assert 6 < difference.std() < 10


@pytest.mark.parametrize(
    ("name", "shape", "seed", "told"),
    [
        ("cells.h5", "8,8,8", 1, "must end in .json, since the sample is written as a blockwise fileset"),
        ("cells", "8,8,8", 1, "must end in .json"),
        ("cells.json/volume/data", "8,8,8", 1, "must end in .json"),
        ("cells.json", "2048,2048,1025", 1, "at most 4 GiB"),
        ("cells.json", "8,8", 1, "three whole numbers"),
        ("cells.json", "8,8,0", 1, "three whole numbers"),
        ("cells.json", "8,8,8", -1, "--seed -1"),
    ],
)
@pytest.mark.parametrize("if_missing", [False, True])
def test_what_can_not_be_made_is_refused_before_anything_is(
    tmp_path, capsys, name, shape, seed, told, if_missing
):
    address = tmp_path / "folder" / name
    assert create_sample(str(address), shape, seed, if_missing) == BAD_FILE
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_shape_of_just_4_gib_is_not_refused_for_its_size(tmp_path, capsys):
    (tmp_path / "cells.json").touch()
    assert create_sample(str(tmp_path / "cells.json"), "2048,2048,1024", 1, False) == BAD_FILE
    assert "cells.json exists" in capsys.readouterr().err


def test_an_existing_volume_is_left_alone(tmp_path, capsys):
    path = tmp_path / "cells.json"
    before = made(path, shape=(8, 8, 8))
    assert create_sample(str(path), "9,9,9", 2, True) == 0
    assert create_sample(str(path), "9,9,9", 2, False) == BAD_FILE
    assert "exists" in capsys.readouterr().err
    with BlockwiseFileset(path) as fileset:
        assert np.array_equal(fileset.read(Roi.from_shape(fileset.shape)), before)
