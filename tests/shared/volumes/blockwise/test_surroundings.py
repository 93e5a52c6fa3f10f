import subprocess
import sys

import numpy as np
import pytest

from blockmill.shared.errors import StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.locking.filelock import FileLock
from blockmill.shared.locking.lockfile import compose
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

DIE = """
import os, sys
from blockmill.shared.locking.filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
os._exit(0)
"""


@pytest.fixture
def fileset(tmp_path):
    description = FilesetDescription(
        axes="x",
        shape=(50,),
        dtype="u1",
        block_shape=(10,),
        block_file_name_format="b-{roiString}.h5/d",
        view_origin=(10,),
    )
    made = BlockwiseFileset.create(tmp_path / "v.json", description)
    made.write(Roi((0,), (40,)), np.arange(40, dtype="u1"))
    return made


def lay(fileset, start, content):
    with open(f"{fileset.block_file(start)}.lock", "wb") as file:
        file.write(content)


def test_dead_and_foreign_locks_go_and_that_of_a_living_writer_stays(fileset):
    subprocess.run([sys.executable, "-c", DIE, fileset.block_file((0,))], check=True)
    far = compose("0123456789abcdef", None).replace(b"host: ", b"host: far-").replace(b"boot: ", b"boot: x")
    lay(fileset, (10,), b"Owning process args:\nilastik.py\n")
    lay(fileset, (20,), far)
    with FileLock(fileset.block_file((30,))) as living:
        found = fileset.purge_locks()
        assert living.still_ours()
    told = [(lock.block_start, lock.state, lock.removed) for lock in found]
    assert told == [
        ((0,), "dead", True),
        ((10,), "foreign", True),
        ((20,), "foreign", True),
        ((30,), "alive", False),
    ]
    assert "ilastik.py" in found[1].holder
    assert "far-" in found[2].holder
    assert not any(fileset.is_block_locked(block.start) for block in fileset.block_rois())
    # Nothing but locks is gone, and each is told once.
    assert fileset.read(Roi((0,), (40,))).tolist() == [*range(40)]
    assert fileset.purge_locks() == []


def test_foreign_locks_stay_where_that_is_asked_and_outside_the_roi(fileset):
    for start in ((0,), (10,)):
        lay(fileset, start, b"")
    (kept,) = fileset.purge_locks(Roi((10,), (11,)), foreign=False)
    assert (kept.block_start, kept.state, kept.removed) == ((10,), "foreign", False)
    (gone,) = fileset.purge_locks(Roi((10,), (11,)))
    assert gone.removed
    assert fileset.is_block_locked((0,))
    assert not fileset.is_block_locked((10,))


def test_a_fileset_for_reading_purges_nothing(fileset):
    lay(fileset, (0,), b"")
    fileset.reopen("r")
    with pytest.raises(StorageError, match="reading"):
        fileset.purge_locks()
    assert fileset.is_block_locked((0,))
