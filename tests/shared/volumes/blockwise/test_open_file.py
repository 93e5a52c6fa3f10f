import h5py
import numpy as np
import pytest

from blockmill.shared.errors import LockTimeout, MissingBlock, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.locking.filelock import FileLock
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset


@pytest.fixture
def fileset(tmp_path):
    description = FilesetDescription(
        axes="yx", shape=(10, 12), dtype="u1", block_shape=(4, 5), block_file_name_format="b-{roiString}.h5/d"
    )
    made = BlockwiseFileset.create(tmp_path / "v.json", description, job="first", lock_timeout_s=0.05)
    made.write(Roi((0, 0), (10, 10)), np.ones((10, 10), "u1"))
    return made


def test_more_than_voxels_is_kept_in_a_block_which_stays_whole_and_available(fileset):
    with fileset.open_block_file((4, 5), writable=True) as file:
        file["features"] = np.arange(3)
        # Until the end, others see the block as it was.
        with h5py.File(fileset.block_file((4, 5))) as before:
            assert "features" not in before
        assert fileset.block_status((4, 5))
        with pytest.raises(LockTimeout):
            fileset.write(Roi((4, 5), (8, 10)), np.zeros((4, 5), "u1"))
    with fileset.open_block_file((4, 5)) as file:
        assert file["features"][...].tolist() == [0, 1, 2]
    assert fileset.verify_block((4, 5)) is None
    assert (fileset.read(Roi((4, 5), (8, 10))) == 1).all()
    assert not fileset.is_block_locked((4, 5))


def test_a_change_that_fails_changes_nothing(fileset, tmp_path):
    with pytest.raises(ZeroDivisionError), fileset.open_block_file((4, 5), writable=True) as file:
        file["features"] = 1
        raise ZeroDivisionError
    with fileset.open_block_file((4, 5)) as file:
        assert list(file) == ["d"]
    assert fileset.verify_block((4, 5)) is None
    assert not [*tmp_path.rglob("*.partial-*"), *tmp_path.rglob("*.lock*")]


def test_a_block_that_was_not_available_is_not_made_so(fileset):
    fileset.set_block_status((4, 5), False)
    with fileset.open_block_file((4, 5), writable=True) as file:
        file["features"] = 1
    assert not fileset.block_status((4, 5))


def test_what_can_not_be_opened_is_told(fileset):
    for writable in (False, True):
        with pytest.raises(MissingBlock) as caught, fileset.open_block_file((8, 10), writable=writable):
            pass
        assert caught.value.block_start == (8, 10)
    fileset.reopen("r")
    with pytest.raises(StorageError, match="reading"):
        fileset.open_block_file((4, 5), writable=True)
    with fileset.open_block_file((4, 5)) as file, pytest.raises(ValueError, match="intent"):
        file["features"] = 1
    fileset.reopen("a")
    with FileLock(fileset.block_file((4, 5))):
        with pytest.raises(LockTimeout), fileset.open_block_file((4, 5), writable=True):
            pass
        with fileset.open_block_file((4, 5)) as file:
            assert file["d"].shape == (4, 5)
