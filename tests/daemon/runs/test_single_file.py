import os
import signal
import subprocess
import sys
import zlib

import numpy as np
import pytest

from blockmill.daemon.runs.output_files import OutputFiles
from blockmill.daemon.runs.single_file import SingleFile
from blockmill.shared.errors import OutputRefused, StorageError
from blockmill.shared.files.checksum import crc32_of
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume
from blockmill.shared.volumes.npy import NpyVolume

GRID = BlockGrid(Roi.from_shape((10, 7)), (4, 4))
VOXELS = np.arange(70, dtype=np.uint16).reshape(10, 7)


@pytest.fixture(params=["npy", "hdf5", "gzip"])
def new_file(request, tmp_path):
    """A maker of the same output, as each run makes it anew."""
    chunked = {"chunks": (3, 3), "compression": "gzip"} if request.param == "gzip" else {}

    def create(path):
        if request.param == "npy":
            return NpyVolume.create(path, VOXELS.shape, VOXELS.dtype, axes="yx")
        return Hdf5Volume.create(path, "/v/d", VOXELS.shape, VOXELS.dtype, axes="yx", **chunked)

    def open_at(path, mode):
        return NpyVolume(path, mode=mode) if request.param == "npy" else Hdf5Volume(path, "/v/d", mode=mode)

    name = "out.npy" if request.param == "npy" else "out.h5"
    return lambda: SingleFile(OutputFiles(tmp_path / name), GRID, create, open_at)


def resume(file, tell=lambda text: None):
    return file.go_on(lambda: None, tell)


def merge(file, *blocks):
    for block in blocks:
        roi = GRID.roi_of(block)
        array = VOXELS[roi.to_slice()]
        file.merge(block, roi, array, crc32_of(array))


def content(file):
    with_reader = file._open(file.output, "r")
    try:
        return with_reader.read(Roi.from_shape(VOXELS.shape))
    finally:
        with_reader.close()


def test_the_file_appears_when_it_is_whole(new_file):
    file = new_file()
    file.start()
    merge(file, *range(len(GRID)))
    assert not file.output.exists()
    file.finish()
    assert not file.partial.exists()
    np.testing.assert_array_equal(content(file), VOXELS)


def test_a_later_run_goes_on_with_the_blocks_that_are_there(new_file):
    first = new_file()
    first.start()
    merge(first, 0, 3)
    first.close()
    second = new_file()
    done = resume(second)
    assert [block for block, there in enumerate(done) if there] == [0, 3]
    merge(second, *(block for block, there in enumerate(done) if not there))
    second.finish()
    np.testing.assert_array_equal(content(second), VOXELS)


def test_a_finished_file_is_checked_and_left_alone(new_file):
    first = new_file()
    first.start()
    merge(first, *range(len(GRID)))
    first.finish()
    before = first.output.stat().st_mtime_ns
    second = new_file()
    assert all(resume(second))
    second.finish()
    assert second.output.stat().st_mtime_ns == before


def test_a_finished_file_that_somebody_has_changed_is_left_to_him(new_file):
    first = new_file()
    first.start()
    merge(first, *range(len(GRID)))
    first.finish()
    spoiler = first._open(first.output, "r+")
    spoiler.write(Roi((4, 4), (5, 5)), np.array([[9999]], np.uint16))
    spoiler.close()
    before = first.output.read_bytes()
    with pytest.raises(OutputRefused, match=r"1 of its 6 blocks are no longer what this job wrote"):
        resume(new_file())
    assert first.output.read_bytes() == before


def test_a_partial_file_that_is_removed_meanwhile_is_no_success(new_file):
    file = new_file()
    file.start()
    merge(file, *range(len(GRID)))
    file.partial.unlink()
    with pytest.raises(StorageError, match="was removed while the job ran"):
        file.finish()


def test_a_claim_without_voxels_is_not_believed(new_file):
    file = new_file()
    file.start()
    file._ledger.note(1, zlib.crc32(b"what was never written"))
    file.close()
    assert not any(resume(new_file()))


def test_a_partial_file_that_a_kill_has_torn_is_begun_anew_and_told(new_file):
    first = new_file()
    first.start()
    merge(first, 0)
    first.close()
    first.partial.write_bytes(b"cut")
    second, messages = new_file(), []
    assert not any(resume(second, messages.append))
    assert "begun anew" in messages[0]
    merge(second, *range(len(GRID)))
    second.finish()
    np.testing.assert_array_equal(content(second), VOXELS)


MERGES_AND_IS_KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from blockmill.daemon.runs.output_files import OutputFiles
from blockmill.daemon.runs.single_file import SingleFile
from blockmill.shared.files.checksum import crc32_of
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume

output, compressed, blocks = Path(sys.argv[1]), sys.argv[2] == "gzip", [int(n) for n in sys.argv[3:]]
layout = {"chunks": (3, 3), "compression": "gzip"} if compressed else {}
voxels = np.arange(70, dtype=np.uint16).reshape(10, 7)
grid = BlockGrid(Roi.from_shape((10, 7)), (4, 4))
file = SingleFile(
    OutputFiles(output),
    grid,
    lambda path: Hdf5Volume.create(path, "/v/d", (10, 7), "u2", axes="yx", **layout),
    lambda path, mode: Hdf5Volume(path, "/v/d", mode=mode),
)
file.start()
for block in blocks:
    roi = grid.roi_of(block)
    array = voxels[roi.to_slice()]
    file.merge(block, roi, array, crc32_of(array))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("blocks", [[], [4], [5, 0, 3]])
@pytest.mark.parametrize("layout", ["contiguous", "gzip"])
def test_blocks_of_an_hdf5_file_that_were_merged_outlive_a_kill(tmp_path, layout, blocks):
    output = tmp_path / "out.h5"
    command = [sys.executable, "-c", MERGES_AND_IS_KILLED, str(output), layout, *map(str, blocks)]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    unwanted = []
    file = SingleFile(
        OutputFiles(output),
        GRID,
        lambda path: unwanted.append(path) or Hdf5Volume.create(path, "/v/d", VOXELS.shape, VOXELS.dtype),
        lambda path, mode: Hdf5Volume(path, "/v/d", mode=mode),
    )
    done = resume(file)
    assert [block for block, there in enumerate(done) if there] == sorted(blocks)
    assert not unwanted, "the partial file could be opened"
    merge(file, *(block for block, there in enumerate(done) if not there))
    file.finish()
    np.testing.assert_array_equal(content(file), VOXELS)


def test_closing_lets_go_of_the_ledger_even_if_the_volume_cannot_be_closed(tmp_path):
    class Full(NpyVolume):
        def close(self):
            super().close()
            raise StorageError("no space left")

    file = SingleFile(
        OutputFiles(tmp_path / "out.npy"),
        GRID,
        lambda path: Full(NpyVolume.create(path, VOXELS.shape, VOXELS.dtype).address, "r+"),
        lambda path, mode: NpyVolume(path, mode),
    )
    file.start()
    ledger = file._ledger._fd
    with pytest.raises(StorageError, match="no space left"):
        file.finish()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(ledger)
    assert not file.output.exists()


def test_a_resumed_file_that_went_wrong_meanwhile_is_not_given_its_name(new_file):
    first = new_file()
    first.start()
    merge(first, 0, 3)
    first.close()
    second = new_file()
    resume(second)
    merge(second, 1, 2, *range(4, len(GRID)))
    second._volume.write(Roi((4, 4), (5, 5)), np.array([[9999]], np.uint16))
    with pytest.raises(StorageError, match="run this again"):
        second.finish()
    assert not second.output.exists()
    third = new_file()
    assert [block for block, there in enumerate(resume(third)) if not there] == [3]
    merge(third, 3)
    third.finish()
    np.testing.assert_array_equal(content(third), VOXELS)
