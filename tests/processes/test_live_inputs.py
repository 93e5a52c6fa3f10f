"""HDF5 files that another program writes in SWMR mode meanwhile."""

import subprocess
import sys

import numpy as np
import pytest

FAILED, WRONG_JOB = 1, 5
WRITER = """
import h5py, numpy as np
with h5py.File("live.h5", "w", libver="latest") as file:
    voxels = np.arange(16 * 8 * 8, dtype="u2").reshape(16, 8, 8)
    made = file.create_dataset("v", data=voxels, chunks=(4, 8, 8), maxshape=(None, 8, 8))
    file.swmr_mode = True
    made.flush()
    print("open", flush=True)
    while input() == "more":
        made.resize(made.shape[0] + 4, axis=0)
        made[-4:] = 7
        made.flush()
        print("more", flush=True)
"""
VOXELS = np.arange(16 * 8 * 8, dtype="u2").reshape(16, 8, 8)


@pytest.fixture
def writer(bench):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WRITER], cwd=bench.folder, **pipes) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def grow(writer):
    writer.stdin.write("more\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "more\n"


def live_job(bench, **fields):
    return bench.job(
        input={"address": "live.h5/v", "live": True}, output="out.npy", operation="copy", **fields
    )


def test_a_live_file_is_read_where_asked_for(bench, writer):
    bench.run("run", live_job(bench))
    assert np.array_equal(np.load(bench.folder / "out.npy"), VOXELS)


def test_without_the_key_the_error_names_it(bench, writer):
    _, err = bench.run("run", bench.job(input="live.h5/v", output="out.npy", operation="copy"), code=FAILED)
    assert "live: true" in err
    assert not (bench.folder / "out.npy").exists()


def test_a_file_whose_writer_has_crashed_is_read_in_the_same_way(bench, writer):
    writer.kill()
    writer.wait()
    bench.run("run", live_job(bench))
    assert np.array_equal(np.load(bench.folder / "out.npy"), VOXELS)


def test_the_extent_is_that_of_the_beginning_and_growth_is_no_change(bench, writer, wait_until):
    operation = {"python": {"function": "steps:gated", "args": {"gate": bench.gate}, "halo_check": False}}
    source = {"address": "live.h5/v", "live": True}
    job = bench.job(input=source, output="out.npy", operation=operation, user_code=".", block_shape=[8, 8, 8])
    running = bench.start("run", job, "-w", "2")
    wait_until(lambda: len(bench.begun()) == 2, "both blocks")
    grow(writer)
    bench.open_gate()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, (out, err)
    assert np.array_equal(np.load(bench.folder / "out.npy"), VOXELS)


def test_only_hdf5_can_be_live(bench):
    bench.volume()
    job = bench.job(input={"address": "in.npy", "live": True}, output="out.npy", operation="copy")
    _, err = bench.run("run", job, code=WRONG_JOB)
    assert "input.live" in err
    assert "HDF5" in err
