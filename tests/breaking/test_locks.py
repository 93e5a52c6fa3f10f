"""Many writers of the same blocks, killed, stopped, or with a clock that jumps: no block is ever torn."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from breakage import amount, leavings

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.locking.filelock import FileLock
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
SHAPE, BLOCK = (64, 64, 64), (16, 32, 64)
WRITER = """
import random, sys, time
import numpy as np
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

number, seconds, path = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
rng, end_s, writes = random.Random(number), time.monotonic() + seconds, 0
with BlockwiseFileset(path, "a") as fileset:
    while time.monotonic() < end_s:
        z, y = rng.choice([0, 16, 32, 48]), rng.choice([0, 32])
        block = np.full((16, 32, 64), rng.randrange(1, 250), np.uint8)
        fileset.write(Roi((z, y, 0), (z + 16, y + 32, 64)), block)
        writes += 1
print(writes)
"""
DIES = """
import os, sys
from blockmill import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
os._exit(0)
"""


@pytest.fixture
def fileset(tmp_path):
    description = FilesetDescription(
        axes="zyx", shape=SHAPE, dtype="u1", block_shape=BLOCK, block_file_name_format="b{roiString}.h5/d"
    )
    BlockwiseFileset.create(tmp_path / "f.json", description).close()
    return tmp_path / "f.json"


def available(path):
    """How many blocks are available; each has one value alone, and agrees with its checksum."""
    with BlockwiseFileset(path) as fileset:
        starts = [roi.start for roi in fileset.block_rois() if fileset.block_status(roi.start)]
        for start in starts:
            assert fileset.verify_block(start) is None
            with h5py.File(fileset.block_file(start), locking=False) as file:
                assert len(np.unique(file["d"][()])) == 1
    return len(starts)


@pytest.fixture
def start(fileset):
    """Starts a writer: `start(number, seconds, *prefix)`."""
    started = []

    def start(number, seconds, *prefix):
        command = [*prefix, sys.executable, "-c", WRITER, str(number), str(seconds), str(fileset)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for writer in started:
        writer.kill()
        writer.communicate()


def writes_of(writer):
    out, err = writer.communicate(timeout=120)
    assert (writer.returncode, err) == (0, "")
    return int(out)


def test_eight_writers_at_the_same_eight_blocks(fileset, start):
    writers = [start(number, 6) for number in range(8)]
    assert sum(map(writes_of, writers)) >= 8
    assert available(fileset) == 8
    assert leavings(fileset.parent) == []


def test_writers_that_are_killed_and_stopped(fileset, start, wait_until):
    rng, writers = random.Random(1), [start(number, 600) for number in range(8)]
    wait_until(lambda: len(list(fileset.parent.rglob("STATUS.txt"))) > 3, "the first blocks")
    for kill in range(amount("KILLS", 40)):
        time.sleep(rng.uniform(0, 0.2))
        place, how = rng.randrange(8), rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, None])
        if how is None:
            writers[place].send_signal(signal.SIGSTOP)
            time.sleep(rng.choice([0.1, 1]))  # others meanwhile want what it holds
            writers[place].send_signal(signal.SIGCONT)
            continue
        writers[place].send_signal(how)
        writers[place].wait()
        writers[place] = start(100 + kill, 600)
    for writer in writers:
        writer.kill()
        writer.wait()
    available(fileset)
    writes_of(start(999, 6))
    assert available(fileset) == 8
    assert [name for name in leavings(fileset.parent) if name.endswith(".lock")] == []


@pytest.mark.parametrize("clock", ["+2h", "-2h", "+400d", "-20y", "+0 x100"])
def test_half_of_the_writers_with_another_clock(fileset, start, clock):
    if shutil.which("faketime") is None:
        pytest.skip("there is no faketime")
    seconds = 300 if "x100" in clock else 3
    writers = [start(n, seconds, "faketime", "-f", clock) if n % 2 else start(n, 3) for n in range(4)]
    assert all(writes_of(writer) > 0 for writer in writers)
    assert available(fileset) == 8
    assert leavings(fileset.parent) == []


@pytest.mark.parametrize("living", [1, os.getpid()], ids=["init", "this process"])
def test_a_lock_whose_holder_has_died_and_whose_number_somebody_else_has_now(fileset, start, living):
    with BlockwiseFileset(fileset, "a") as opened:
        block = opened.block_file((0, 0, 0))
    os.makedirs(os.path.dirname(block), exist_ok=True)
    subprocess.run([sys.executable, "-c", DIES, block], check=True)
    dead = FileLock(block).holder()
    assert dead is not None
    with open(f"{block}.lock", "w") as file:
        file.write(dead.text.replace(str(dead.pid), str(living)))
    with BlockwiseFileset(fileset, "a") as opened:
        opened.write(Roi((0, 0, 0), BLOCK), np.full(BLOCK, 7, np.uint8))
    assert available(fileset) == 1
    assert leavings(fileset.parent) == []
