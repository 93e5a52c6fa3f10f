import numpy as np
import pytest

from blockmill.client.cli.verbs.volume import create
from blockmill.client.formatting.exit_codes import BAD_FILE
from blockmill.client.library.sample_volume import cells
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset


def create_sample(address, shape, seed, if_missing):
    """The exit code of the verb."""
    with pytest.raises(SystemExit) as ended:
        create.command.main(
            [address, f"--shape={shape}", f"--seed={seed}", *(["--if-missing"] if if_missing else [])]
        )
    return ended.value.code


def test_the_sample_has_the_voxels_of_its_seed(tmp_path, capsys):
    path = tmp_path / "a" / "cells.json"
    assert create_sample(str(path), "8x9x70", 3, False) == 0
    assert capsys.readouterr().out == f"{path}: 8x9x70 voxels, uint8\n"
    with BlockwiseFileset(path) as fileset:
        assert np.array_equal(fileset.read(roi := Roi((0, 0, 0), (8, 9, 64))), cells(roi, 3))


@pytest.mark.parametrize(
    ("name", "shape", "seed", "message"),
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
    tmp_path, capsys, name, shape, seed, message, if_missing
):
    address = tmp_path / "folder" / name
    assert create_sample(str(address), shape, seed, if_missing) == BAD_FILE
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_shape_of_just_4_gib_is_not_refused_for_its_size(tmp_path, capsys):
    (tmp_path / "cells.json").touch()
    assert create_sample(str(tmp_path / "cells.json"), "2048,2048,1024", 1, False) == BAD_FILE
    assert "cells.json exists" in capsys.readouterr().err


def test_an_existing_volume_is_left_alone(tmp_path, capsys):
    path = tmp_path / "cells.json"
    assert create_sample(str(path), "8,8,8", 1, False) == 0
    before = path.read_text()
    assert create_sample(str(path), "9,9,9", 2, True) == 0
    assert create_sample(str(path), "9,9,9", 2, False) == BAD_FILE
    assert "exists" in capsys.readouterr().err
    assert path.read_text() == before
    assert len(list((tmp_path / "cells_blocks").rglob("*.h5"))) == 1


def test_a_volume_that_lacks_blocks_does_not_pass_for_one_that_is_there(tmp_path, capsys):
    path = tmp_path / "cells.json"
    assert create_sample(str(path), "8,8,70", 1, False) == 0
    with BlockwiseFileset(path, "a") as fileset:
        fileset.set_block_status((0, 0, 64), False)
    assert create_sample(str(path), "8,8,70", 1, True) == BAD_FILE
    assert "lacks 1 of its 2 blocks" in capsys.readouterr().err


def test_an_interrupted_call_is_gone_on_with_even_where_only_a_missing_volume_is_made(tmp_path, monkeypatch):
    from blockmill.client.library import sample_volume

    def ctrl_c(block, seed):
        raise KeyboardInterrupt

    path = tmp_path / "cells.json"
    with monkeypatch.context() as patched:
        patched.setattr(sample_volume, "cells", ctrl_c)
        assert create_sample(str(path), "8,8,70", 1, True) != 0
    assert create_sample(str(path), "8,8,70", 1, True) == 0
    with BlockwiseFileset(path) as fileset:
        assert all(fileset.block_status(block.start) for block in fileset.block_rois())
