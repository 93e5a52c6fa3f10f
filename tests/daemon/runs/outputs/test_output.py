"""Outputs that one process merges: what is noted, what a kill leaves, when they get their name."""

import os
import shutil
import signal
import subprocess
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from blockmill.daemon.engine.handle import Result
from blockmill.daemon.planning.plan import make_plan
from blockmill.daemon.runs.outputs.output import Output
from blockmill.shared.errors import OutputRefused, StorageError
from blockmill.shared.files.checksum import crc32_of
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job import Job
from blockmill.shared.messages import engine as wire
from blockmill.shared.volumes.base.memory import MemoryVolume
from blockmill.shared.volumes.ledger import Ledger
from blockmill.shared.volumes.npy import NpyVolume
from blockmill.shared.volumes.registry import format_of, open_volume, split_address
from blockmill.workers.compare import CompareJob

VOXELS = np.arange(70, dtype=np.uint16).reshape(10, 7)
GRID = BlockGrid(Roi.from_shape((10, 7)), (4, 4))
ADDRESSES = {"npy": "out.npy", "hdf5": "out.h5/v/d", "gzip": "out.h5/v/d"}


def output_at(folder, kind, voxels=VOXELS, **options):
    """The output of a job, as each run makes it anew."""
    if kind == "gzip":
        options = {"chunks": [3, 3], "compression": "gzip", **options}
    block = [4] * voxels.ndim
    fields = {"input": "in.npy", "operation": "copy", "block_shape": block}
    job = Job.of({**fields, "output": {"address": f"{folder}/{ADDRESSES[kind]}", **options}})
    target = split_address(job.output.address)
    plan = make_plan(job, {"input": MemoryVolume(voxels, axes="zyx"[-voxels.ndim :])}, 1, format_of(target))
    if kind != "gzip":  # of chunks, task blocks are whole multiples
        assert plan.grid.block_shape == (4,) * voxels.ndim
    return Output(target, job, plan)


@pytest.fixture(params=ADDRESSES)
def new_output(request, tmp_path):
    return lambda: output_at(tmp_path, request.param)


def compare(place, ledger, noted):
    """The comparison as a worker makes it, in this process."""
    blocks = len(noted)
    plan = wire.Comparison(wire.VolumePlace(place.format, place.file, place.internal), str(ledger), blocks)
    job = CompareJob(wire.Recipe(sources=(), compare=plan), plan)
    try:
        return bytes(
            one and job.do(wire.Task("j", block, 1), grid_of(blocks).roi_of(block), None).skipped
            for block, one in enumerate(noted)
        )
    finally:
        job.close()


def grid_of(blocks):
    grids = (GRID, BlockGrid(Roi.from_shape((10, 7)), (6, 6)))
    return next(grid for grid in grids if len(grid) == blocks)


def blocks_of(output):
    return range(len(output._plan.grid))


def resume(output, tell=lambda text: None):
    return output.go_on(compare, tell)


def merge(output, *blocks):
    for block in blocks:
        roi = output._plan.grid.roi_of(block)
        array = VOXELS[roi.to_slice()]
        output.merge(Result(block, roi, array, crc32_of(array)))


def finish(output):
    output.close()  # as a run does
    output.finish(compare)


def content(output):
    with open_volume(str(output._target)) as volume:
        return volume.read()


def spoil(output, partial=False):
    """Change a voxel of the last block, behind the ledger's back."""
    at = output._target.at(output.files.partial if partial else output.path)
    volume = output.format.open_to_write(at)
    volume.write(Roi((9, 6), (10, 7)), np.array([[9999]], np.uint16))
    volume.close()


def test_the_file_appears_when_it_is_whole(new_output):
    output = new_output()
    output.start()
    merge(output, *blocks_of(output))
    assert not output.path.exists()
    finish(output)
    assert not output.files.partial.exists()
    np.testing.assert_array_equal(content(output), VOXELS)


def test_a_later_run_goes_on_with_the_blocks_that_are_there(new_output):
    first = new_output()
    first.start()
    merge(first, 0, 3)
    first.close()
    second = new_output()
    done = resume(second)
    assert [block for block, there in enumerate(done) if there] == [0, 3]
    merge(second, *(block for block, there in enumerate(done) if not there))
    finish(second)
    np.testing.assert_array_equal(content(second), VOXELS)


def whole(new_output):
    output = new_output()
    output.start()
    merge(output, *blocks_of(output))
    finish(output)
    return output


def test_a_finished_file_is_checked_and_left_alone(new_output):
    first = whole(new_output)
    before = first.path.stat().st_mtime_ns
    second = new_output()
    assert all(resume(second))
    finish(second)
    assert second.path.stat().st_mtime_ns == before


def test_a_finished_file_that_somebody_has_changed_is_left_to_him(new_output):
    first = whole(new_output)
    spoil(first)
    before = first.path.read_bytes()
    with pytest.raises(OutputRefused, match=r"1 of its \d blocks are no longer what this job wrote"):
        resume(new_output())
    assert first.path.read_bytes() == before


def test_a_partial_file_that_is_removed_meanwhile_is_no_success(new_output):
    output = new_output()
    output.start()
    merge(output, *blocks_of(output))
    output.files.partial.unlink()
    with pytest.raises(StorageError, match="was removed while the job ran"):
        finish(output)


def test_a_claim_without_voxels_is_not_believed(new_output):
    output = new_output()
    output.start()
    output.close()
    ledger = Ledger(output.files.ledger, len(output._plan.grid))
    ledger.note(1, zlib.crc32(b"what was never written"))
    ledger.close()
    assert not any(resume(new_output()))


def test_a_partial_file_that_a_kill_has_torn_is_begun_anew_and_told(new_output):
    first = new_output()
    first.start()
    merge(first, 0)
    first.close()
    first.files.partial.write_bytes(b"cut")
    second, messages = new_output(), []
    assert not any(resume(second, messages.append))
    assert "begun anew" in messages[0]
    merge(second, *blocks_of(second))
    finish(second)
    np.testing.assert_array_equal(content(second), VOXELS)


MERGES_AND_IS_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_output import merge, output_at

output = output_at(Path(sys.argv[2]), sys.argv[3])
output.start()
merge(output, *map(int, sys.argv[4:]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("blocks", [[], [3], [2, 0, 3]])
@pytest.mark.parametrize("kind", ["hdf5", "gzip"])
def test_blocks_of_an_hdf5_file_that_were_merged_outlive_a_kill(tmp_path, kind, blocks, monkeypatch):
    here = os.path.dirname(__file__)
    command = [sys.executable, "-c", MERGES_AND_IS_KILLED, here, str(tmp_path), kind, *map(str, blocks)]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    output = output_at(tmp_path, kind)
    monkeypatch.setattr(output.format, "create", None)  # the partial file can be opened
    done = resume(output)
    assert [block for block, there in enumerate(done) if there] == sorted(blocks)
    merge(output, *(block for block, there in enumerate(done) if not there))
    finish(output)
    np.testing.assert_array_equal(content(output), VOXELS)


def test_closing_lets_go_of_the_ledger_even_if_the_volume_cannot_be_closed(tmp_path, monkeypatch):
    class Full(NpyVolume):
        def close(self):
            super().close()
            raise StorageError("no space left")

    output = output_at(tmp_path, "npy")
    monkeypatch.setattr(output.format, "open_to_write", lambda at: Full(at.file, "r+"))
    output.start()
    ledger = output._completion._ledger._fd
    with pytest.raises(StorageError, match="no space left"):
        output.finish(compare)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(ledger)
    assert not output.path.exists()


def test_a_resumed_file_whose_space_hdf5_may_have_given_away_is_compared_once_more(tmp_path):
    first = output_at(tmp_path, "gzip")
    first.start()
    merge(first, 0, 3)
    first.close()
    second = output_at(tmp_path, "gzip")
    assert list(resume(second)) == [1, 0, 0, 1]
    merge(second, 1, 2)
    second.close()
    spoil(second, partial=True)
    with pytest.raises(StorageError, match="run this again"):
        finish(second)
    assert not second.path.exists()
    third = output_at(tmp_path, "gzip")
    assert list(resume(third)) == [1, 1, 1, 0]
    merge(third, 3)
    finish(third)
    np.testing.assert_array_equal(content(third), VOXELS)


def test_what_can_not_be_read_just_now_is_not_taken_for_damaged(new_output, monkeypatch):
    first = new_output()
    first.start()
    merge(first, 0)
    first.close()
    second = new_output()

    def refused(at):
        raise StorageError(f"could not read {at}") from OSError(5, "Input/output error")

    monkeypatch.setattr(second.format, "open", refused)
    with pytest.raises(OutputRefused, match="is there and can't be read"):
        resume(second)
    monkeypatch.undo()
    assert resume(new_output())[0] == 1


# -- room for the new one -----------------------------------------------------------

CUBE = np.zeros((64, 64, 64), "u1")


def free(monkeypatch, nbytes):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=nbytes))


def test_a_file_is_replaced_only_where_the_new_one_has_room(monkeypatch, tmp_path):
    output = output_at(tmp_path, "npy", CUBE)
    (tmp_path / "out.npy").write_bytes(bytes(1000))
    free(monkeypatch, 1000)
    with pytest.raises(OutputRefused, match=r"needs 256 KiB, and its disk has room for"):
        output.check_replaceable()
    free(monkeypatch, 64**3)
    output.check_replaceable()


def test_the_room_of_the_old_file_counts_unless_it_has_another_name(monkeypatch, tmp_path):
    output = output_at(tmp_path, "npy", CUBE)
    (tmp_path / "out.npy").write_bytes(bytes(64**3))
    free(monkeypatch, 1000)
    output.check_replaceable()
    (tmp_path / "other").hardlink_to(tmp_path / "out.npy")
    with pytest.raises(OutputRefused, match="needs"):
        output.check_replaceable()


def test_the_size_of_a_compressed_file_is_unknown(monkeypatch, tmp_path):
    output = output_at(tmp_path, "gzip", CUBE, chunks=[3, 3, 3])
    (tmp_path / "out.h5").write_bytes(b"")
    free(monkeypatch, 0)
    output.check_replaceable()
