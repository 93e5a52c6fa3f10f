"""Runs that are cut off: by Ctrl-C, by the death of a worker, of the run, by a second run."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from scipy import ndimage

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("output", ["out.json", "out.npy", "out.h5/v"])
def test_an_interrupted_run_leaves_nothing_and_goes_on_later(bench, wait_until, signum, output):
    voxels = bench.volume()
    job = bench.gated_job(output, free=20)
    process = bench.start("run", job)
    wait_until(lambda: len(bench.begun()) >= 3, "the two free blocks done and a gated one begun")
    children = bench.children_of(process)
    assert children
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"To go on: blockmill run {job}" in err
    assert bench.gone(children)
    assert bench.leavings() == []
    bench.open_gate()
    summary = json.loads(bench.run("run", "--json", job)[0])
    assert (summary["outcome"], summary["blocks"]) == ("done", 4)
    np.testing.assert_array_equal(bench.read(output), voxels)
    assert bench.leavings() == []


def test_the_blocks_that_were_finished_before_ctrl_c_are_not_done_again(bench, wait_until):
    bench.volume()
    job = bench.gated_job(free=20)
    process = bench.start("run", job)
    wait_until(lambda: len(bench.begun()) == 4, "both gated blocks")
    wait_until(lambda: bench.finished_blocks("out.json") == 2, "the free ones")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    bench.open_gate()
    assert json.loads(bench.run("run", "--json", job)[0])["skipped"] == 2


def test_a_killed_worker_is_replaced_and_its_block_done(bench, wait_until):
    voxels = bench.volume()
    process = bench.start("run", bench.gated_job())
    wait_until(lambda: len(bench.begun()) == 2, "two workers at work")
    victim = int(bench.begun()[0].rsplit("-", 1)[1])
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(bench.begun()) == 3, "another worker at the same block")
    bench.open_gate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"(pid {victim}) was killed by SIGKILL" in err
    np.testing.assert_array_equal(bench.read(), voxels)
    assert bench.leavings() == []


def test_a_block_that_kills_every_worker_is_given_up_and_the_rest_finishes(bench):
    voxels = bench.volume(shape=(40, 30, 20))
    job = bench.steps_job(
        "steps:poison",
        {"at": [6, 0, 0]},
        output="out.json",
        rows=2,
        retries=1,
        on_error="finish",
        workers=2,
    )
    out, err = bench.run("run", job, code=1)
    assert "done with failures: 19 of 20 blocks" in out
    assert "block [6, 0, 0]-[8, 30, 20]: worker" in err
    assert "killed by SIGKILL" in err
    with BlockwiseFileset(bench.folder / "out.json") as fileset:
        starts = [block.start for block in fileset.block_rois() if not fileset.block_status(block.start)]
        assert starts == [(6, 0, 0)]
        np.testing.assert_array_equal(fileset.read(Roi((8, 0, 0), (40, 30, 20))), voxels[8:])
    assert bench.leavings() == []


@pytest.mark.parametrize("output", ["out.json", "out.npy", "out.h5/v"])
def test_a_killed_run_takes_its_workers_along_and_goes_on_later(bench, wait_until, output):
    voxels = bench.volume()
    job = bench.gated_job(output, free=20)
    process = bench.start("run", job)
    wait_until(lambda: len(bench.begun()) >= 3, "a gated block")
    children = bench.children_of(process)
    process.kill()
    process.wait()
    wait_until(lambda: bench.gone(children), "the end of the workers")
    bench.open_gate()
    summary = json.loads(bench.run("run", "--json", job)[0])
    assert summary["outcome"] == "done"
    np.testing.assert_array_equal(bench.read(output), voxels)
    assert bench.leavings() == []


def test_workers_that_hold_the_interpreter_lock_die_with_the_run_too(bench, wait_until):
    bench.volume()
    (bench.folder / "hold.py").write_text(
        "import ctypes, pathlib\n"
        "def hold(block, mark):\n"
        "    pathlib.Path(mark).touch()\n"
        "    ctypes.PyDLL(None).sleep(1000)\n"
    )
    mark = bench.folder / "holding"
    job = bench.steps_job("hold:hold", {"mark": str(mark)})
    process = bench.start("run", job)
    wait_until(mark.exists, "a worker that holds the lock")
    children = bench.children_of(process)
    process.kill()
    process.wait()
    wait_until(lambda: bench.gone(children), "the end of the workers")


def test_a_second_run_on_the_same_output_is_refused(bench, wait_until):
    voxels = bench.volume()
    job = bench.gated_job()
    first = bench.start("run", job)
    wait_until(lambda: len(bench.begun()) == 2, "the first run at work")
    _, err = bench.run("run", job, code=6)
    assert "another run is writing" in err
    assert str(first.pid) in err
    bench.open_gate()
    assert first.wait(60) == 0
    first.communicate()
    np.testing.assert_array_equal(bench.read(), voxels)


def test_a_block_that_takes_too_long_is_ended_and_told(bench):
    bench.volume()
    (bench.folder / "slow.py").write_text("import time\ndef forever(block):\n    time.sleep(1000)\n")
    job = bench.steps_job("slow:forever", retries=0, block_timeout_s=0.5)
    _, err = bench.run("run", job, code=1)
    assert "ran longer than 0.5 s" in err


def test_what_a_dead_writer_left_in_a_block_is_cleared_away(bench, wait_until):
    voxels = bench.volume()
    job = bench.job(
        input="in.npy",
        output={"address": "out.json", "block_shape": [8, 8, 8]},
        operation={"gaussian": {"sigma": 1}},
    )
    for _ in range(3):
        process = bench.start("run", job)
        wait_until(lambda p=process: list(bench.folder.rglob("*.h5")) or p.poll() is not None, "a block")
        process.kill()
        process.communicate()
    bench.run("run", job)
    np.testing.assert_array_equal(bench.read(), ndimage.gaussian_filter(voxels, 1))
    assert bench.leavings() == []


def test_only_the_block_that_kills_its_worker_is_blamed(bench):
    voxels = bench.volume(shape=(64, 6, 6))
    job = bench.job(
        input="in.npy",
        output="out.npy",
        block_shape=[1, 6, 6],
        operation={"python": {"function": "steps:poison", "args": {"at": [40, 0, 0]}}},
        user_code=".",
        retries=0,
        on_error="finish",
        workers=2,
    )
    summary = json.loads(bench.run("run", "--json", job, code=1)[0])
    assert [place for place, _ in summary["failures"]] == ["block [40, 0, 0]-[41, 6, 6]"]
    assert (summary["finished"], summary["blocks"]) == (63, 64)
    done = np.load(bench.folder / ".out.npy.blockmill" / "partial")
    keep = np.arange(64) != 40
    np.testing.assert_array_equal(done[keep], voxels[keep])


def test_what_user_code_has_started_ends_with_the_run(bench, wait_until):
    bench.volume()
    (bench.folder / "starts.py").write_text(
        "import pathlib, subprocess\n"
        "def sleeper(block, mark):\n"
        "    child = subprocess.Popen(['sleep', '1000'])\n"
        "    pathlib.Path(f'{mark}-{child.pid}').touch()\n"
        "    child.wait()\n"
    )
    mark = bench.folder / "child"
    job = bench.steps_job("starts:sleeper", {"mark": str(mark)})
    process = bench.start("run", job)
    wait_until(lambda: list(bench.folder.glob("child-*")), "a child of user code")
    children = bench.children_of(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    wait_until(lambda: bench.gone(children), "the end of what user code had started")


def test_a_child_that_the_program_forks_does_not_keep_workers_alive(bench, wait_until):
    (bench.folder / "forks.py").write_text(
        "import os, signal\n"
        "from blockmill import Engine\n"
        "engine = Engine(2)\n"
        "if (child := os.fork()) == 0:\n"
        "    signal.pause()\n"
        "print(child, flush=True)\n"
        "signal.pause()\n"
    )
    process = subprocess.Popen([sys.executable, "forks.py"], cwd=bench.folder, stdout=subprocess.PIPE)
    child = psutil.Process(int(process.stdout.readline()))
    wait_until(lambda: len(bench.children_of(process)) == 4, "nursery, two workers and the child")
    workers = [p for p in bench.children_of(process) if p != child]
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        wait_until(lambda: bench.gone(workers), "the end of the workers")
        assert not bench.gone([child])
    finally:
        child.kill()


IMPORT_WAITS = """
import os, time
from pathlib import Path

here = Path(__file__).parent
(here / f"importing-{os.getpid()}").touch()
while not (here / "go").exists():
    time.sleep(0.005)

def same(block, context):
    return block
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_before_the_first_block_costs_one_attempt(bench, wait_until, how):
    voxels = bench.volume()
    (bench.folder / "heavy.py").write_text(IMPORT_WAITS)
    operation = {"python": {"function": "heavy:same"}}
    bench.job(input="in.npy", output="out.npy", operation=operation, user_code=".", retries=1)
    process = bench.start("run", "job.yaml", "--workers", "1")
    wait_until(lambda: list(bench.folder.glob("importing-*")), "the import of the user's code")
    os.kill(int(next(bench.folder.glob("importing-*")).name.split("-")[1]), how)
    (bench.folder / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "is made again" in err
    np.testing.assert_array_equal(bench.read("out.npy"), voxels)


def test_code_that_kills_each_worker_at_its_import_ends_the_job_after_its_attempts(bench):
    bench.volume()
    (bench.folder / "deadly.py").write_text(
        "import os, pathlib, signal\n"
        "with (pathlib.Path(__file__).parent / 'imports').open('a') as file: file.write('x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    operation = {"python": {"function": "deadly:none"}}
    bench.job(input="in.npy", output="out.npy", operation=operation, user_code=".", retries=2)
    _, err = bench.run("run", "job.yaml", "--workers", "1", code=5)
    assert "SIGKILL" in err
    assert (bench.folder / "imports").read_text() == "xxx"
