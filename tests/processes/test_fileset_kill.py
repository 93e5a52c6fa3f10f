"""A writer that is killed again and again never shows a half block, and its heir goes on at once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from blockmill.shared.errors import MissingBlock
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

SHAPE, BLOCK = (40, 64, 64), (20, 64, 64)
WHOLE = Roi((0, 0, 0), SHAPE)
KILLS = 40

# Imports once, then forks a writer for each line that it reads, and tells when that one is dead.
NURSERY = """
import os
import sys
import numpy as np
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset


def write_for_ever(value):
    fileset = BlockwiseFileset(sys.argv[1], "a", job="writer")
    while True:
        value += 1
        for block in fileset.block_rois():
            if value % 3:
                fileset.write(block, np.full(block.shape, value, "u4"))
            elif fileset.block_status(block.start):  # a part, with the value that all have
                part = Roi(block.start, (block.start[0] + 1, *block.stop[1:]))
                fileset.write(part, fileset.read(part), status="all")


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        write_for_ever(int(line))
    print(child, flush=True)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def nursery(fileset):
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, fileset.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def fileset(tmp_path):
    description = FilesetDescription(
        axes="zyx",
        shape=SHAPE,
        dtype="u4",
        block_shape=BLOCK,
        block_file_name_format="b-{roiString}.h5/volume/data",
    )
    made = BlockwiseFileset.create(tmp_path / "v.json", description)
    made.write(WHOLE, np.zeros(SHAPE, "u4"))
    return made


class Reader(threading.Thread):
    """Reads block by block until it is told to stop; notes each block that was not of one value."""

    def __init__(self, path):
        super().__init__()
        self.fileset = BlockwiseFileset(path)
        self.done = threading.Event()
        self.reads, self.torn, self.errors = 0, [], []

    def run(self):
        while not self.done.is_set():
            for block in self.fileset.block_rois():
                try:
                    values = np.unique(self.fileset.read(block))
                except MissingBlock:
                    continue  # its status is dropped for the moment of the rename
                except Exception as error:  # noqa: BLE001 - told by the test
                    self.errors.append(repr(error))
                    continue
                self.reads += 1
                if len(values) != 1:
                    self.torn.append(values)


def lying_about(fileset):
    """Partial files and locks; not those that were killed before they told whose they are."""
    found = Path(fileset.address).parent.rglob("*")
    told = [path for path in found if ".lock-" not in path.name or path.stat().st_size]
    return [path.name for path in told if ".partial" in path.name or ".lock" in path.name]


def kill_one_writer(nursery, first_value, rng):
    nursery.stdin.write(f"{first_value}\n")
    nursery.stdin.flush()
    writer = int(nursery.stdout.readline())
    time.sleep(rng.uniform(0, 0.03))  # a random moment of its work: any will do
    os.kill(writer, signal.SIGKILL)
    assert int(nursery.stdout.readline()) == signal.SIGKILL


def test_no_kill_of_a_writer_shows_a_half_block(fileset, nursery):
    rng = random.Random(7)
    reader = Reader(fileset.address)
    reader.start()
    try:
        for number in range(KILLS):
            kill_one_writer(nursery, 1000 * number, rng)
            for block in fileset.block_rois():
                if fileset.block_status(block.start):
                    assert fileset.verify_block(block.start) is None
    finally:
        reader.done.set()
        reader.join()
    assert reader.errors == []
    assert reader.torn == []
    assert reader.reads > 0
    heir = BlockwiseFileset(fileset.address, "a", lock_timeout_s=0)  # no waiting for the dead
    heir.write(WHOLE, np.full(SHAPE, 5, "u4"))
    assert lying_about(fileset) == []
    assert (heir.read(WHOLE) == 5).all()


def test_what_a_killed_writer_left_is_swept(fileset, nursery):
    rng = random.Random(11)
    left = number = 0
    while number < KILLS or (
        left == 0 and number < 20 * KILLS
    ):  # on a busy machine kills come before the writes
        kill_one_writer(nursery, 1000 * number, rng)
        left, number = left + len(lying_about(fileset)), number + 1
        fileset.sweep()
        assert lying_about(fileset) == []
    assert left > 0, "no kill ever hit a write: the test shows nothing"
