import numpy as np
import pytest

from blockmill.client.library import sample_volume
from blockmill.client.library.sample_volume import cells, create_sample, missing_blocks, partial_mark
from blockmill.shared.errors import OutputRefused
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

SHAPE = (96, 128, 130)  # blocks of 64 voxels, the last ones clipped


def made(path, seed=1):
    create_sample(path, SHAPE, seed)
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


def test_an_interrupted_call_is_gone_on_with_by_the_next(tmp_path, image, monkeypatch):
    path, left, calls = tmp_path / "cells.json", [3], []

    def cells_until_ctrl_c(block, seed):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return cells(block, seed)

    monkeypatch.setattr(sample_volume, "cells", cells_until_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        create_sample(path, SHAPE, 1)
    assert partial_mark(path).exists() and missing_blocks(path) == (9, 12)
    for shape, seed in ((SHAPE, 2), ((96, 128, 131), 1)):
        with pytest.raises(OutputRefused, match="was begun with other values"):
            create_sample(path, shape, seed)
    left[0] = -1
    create_sample(path, SHAPE, 1, lambda *counts: calls.append(counts[:3]))
    assert calls == [(12, 3, done) for done in range(10)]
    with BlockwiseFileset(path) as fileset:
        np.testing.assert_array_equal(fileset.read(Roi.from_shape(SHAPE)), image)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cells.json", "cells_blocks"]


def test_a_call_that_was_killed_before_the_description_is_gone_on_with(tmp_path, image):
    path = tmp_path / "cells.json"
    sample_volume._begin(path, {"shape": list(SHAPE), "seed": 1})
    assert np.array_equal(made(path), image)
    with pytest.raises(OutputRefused, match="exists"):
        create_sample(path, SHAPE, 1)


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
    large = cells(Roi((0, 0, 0), (96, 96, 96)), 5).astype(float)
    small = cells(Roi((24, 25, 26), (72, 71, 70)), 5)
    difference = large[24:72, 25:71, 26:70] - small
    # Two draws of noise of 6 each; a cell that one cut lacks differs by about 100.
    assert np.abs(difference).max() < 60
    assert 6 < difference.std() < 10
