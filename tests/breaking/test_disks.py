"""Disks that are full, fail, turn read-only or go away: a clear error, no wrong block; later it goes on."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from breakage import COMMAND, KINDS, available, copy_job, gated_job, leavings
from small_disks import Disk, MemoryDisk

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
SHAPE = (64, 64, 128)
FAILED, UNREADABLE, REFUSED = 1, 5, 6


def goes_on(bench, job, kind, voxels):
    """The disk is good again: the same job ends well, and all of it is right."""
    bench.run("run", job)
    mount = bench.folder / "mnt"
    assert available(mount, kind, voxels) == (16 if kind in ("raw", "gzip") else 1)
    assert leavings(mount) == []


def fails_in_words(ended, *words, code=FAILED):
    ended_with, out, err = ended
    assert ended_with == code, (ended_with, out, err)
    assert "Traceback" not in out + err
    assert any(word in err for word in words), err


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk(bench, kind):
    voxels = bench.volume(shape=SHAPE)
    mount = bench.folder / "mnt"
    with MemoryDisk.mounted(mount, size="200k") as disk:
        job = copy_job(bench, kind, "mnt")
        fails_in_words(bench.end_of("run", job), "No space left on device")
        available(mount, kind, voxels)
        assert leavings(mount) == []
        disk.change(size="64m")
        goes_on(bench, job, kind, voxels)


@pytest.mark.parametrize(("kind", "inodes"), [("raw", 25), ("gzip", 25), ("h5", 4), ("npy", 4)])
def test_a_disk_without_inodes(bench, kind, inodes):
    voxels = bench.volume(shape=SHAPE)
    mount = bench.folder / "mnt"
    with MemoryDisk.mounted(mount, size="64m", nr_inodes=inodes) as disk:
        job = copy_job(bench, kind, "mnt")
        fails_in_words(bench.end_of("run", job), "No space left on device")
        available(mount, kind, voxels)
        disk.change(nr_inodes=10_000)
        goes_on(bench, job, kind, voxels)


def half_done(bench, kind, wait_until):
    """A run of which some blocks have ended and two wait for the gate."""
    run = bench.start("run", gated_job(bench, kind, "mnt"))
    wait_until(lambda: sum(name.startswith("32-") for name in bench.begun()) == 2, "blocks that wait")
    return run


def end_of(bench, run):
    bench.open_gate()
    out, err = run.communicate(timeout=60)
    return run.returncode, out, err


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_turns_read_only_in_the_middle(bench, kind, wait_until):
    voxels = bench.volume(shape=SHAPE)
    with Disk.mounted(bench.folder, "loop,errors=remount-ro") as disk:
        run = half_done(bench, kind, wait_until)
        disk.fail()
        fails_in_words(end_of(bench, run), "Read-only file system", "Input/output error")
        available(disk.root, kind, voxels)
        disk.repair()
        goes_on(bench, "job.yaml", kind, voxels)


def test_a_power_cut_while_a_job_and_a_run_are_at_work(bench, wait_until):
    voxels = bench.volume(shape=SHAPE)
    with Disk.mounted(bench.folder) as disk:
        bench.environ["XDG_STATE_HOME"] = str(disk.root / "state")
        bench.serve()
        number = bench.submit(gated_job(bench, "raw", "mnt", name="job.yaml"))
        run = bench.start("run", gated_job(bench, "npy", "mnt", name="run.yaml"))
        wait_until(lambda: sum(name.startswith("32-") for name in bench.begun()) == 4, "blocks that wait")
        disk.cut_power()
        children = [*bench.children_of(run), *bench.children_of(bench.service)]
        for process in (run, bench.service):
            process.kill()
            process.wait()
        wait_until(lambda: bench.gone(children), "the end of the workers")
        disk.back()
        available(disk.root, "raw", voxels, power_cut=True)
        bench.open_gate()
        bench.serve()
        with bench.client(timeout_s=60) as client:
            assert number in [info.id for info in client.jobs()]
            assert client.wait(number, timeout_s=60).state == "done"
        bench.run("run", "run.yaml")
        bench.end_service()
        assert (available(disk.root, "raw", voxels), available(disk.root, "npy", voxels)) == (16, 1)
        assert leavings(disk.root) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_folder_that_is_renamed_in_the_middle(bench, kind, wait_until):
    voxels = bench.volume(shape=SHAPE)
    mount, moved = bench.folder / "mnt", bench.folder / "moved"
    mount.mkdir()
    run = half_done(bench, kind, wait_until)
    mount.rename(moved)
    code = REFUSED if kind in ("raw", "gzip") else FAILED  # of these a worker makes the folder anew
    fails_in_words(end_of(bench, run), "mnt", code=code)
    available(moved, kind, voxels)
    if mount.exists():  # blocks that were written later lie there, without the rest: nobody's output
        bench.run("run", "job.yaml", code=REFUSED)
        shutil.rmtree(mount)
    moved.rename(mount)
    goes_on(bench, "job.yaml", kind, voxels)


@pytest.fixture
def failing(bench):
    """Commands on a disk below `mnt` that fails so many of 1000 calls: `failing(rate, reads)`."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    source, library = Path(__file__).with_name("failing_disk.c"), bench.folder / "failing_disk.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    mount = bench.folder / "mnt"
    mount.mkdir()

    def run(job, rate, reads):
        environ = {"LD_PRELOAD": str(library), "FAILING": f"{mount}/", "FAILING_RATE": str(rate)}
        process = subprocess.run(
            [*COMMAND, "run", job], cwd=bench.folder, stdin=subprocess.DEVNULL, capture_output=True,
            env={**os.environ, **bench.environ, **environ, **({"FAILING_READS": "1"} if reads else {})},
            text=True, timeout=100, check=False,
        )  # fmt: skip
        return process.returncode, process.stdout, process.stderr

    return run


@pytest.mark.parametrize("reads", [False, True], ids=["writes", "reads and writes"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_with_errors_of_its_medium(bench, failing, kind, reads):
    voxels = bench.volume(shape=SHAPE)
    job = copy_job(bench, kind, "mnt")
    for rate, codes in ((1000, {FAILED}), (60, {0, FAILED, UNREADABLE} if reads else {0, FAILED})):
        code, out, err = failing(job, rate, reads)
        assert code in codes, (rate, code, out, err)
        assert "Traceback" not in out + err
        assert code == 0 or "Input/output error" in err, err
        available(bench.folder / "mnt", kind, voxels)
    goes_on(bench, job, kind, voxels)


def test_a_state_folder_that_gets_full(bench, wait_until):
    voxels = bench.volume(shape=(40, 30, 20))
    state = bench.folder / "state"
    with MemoryDisk.mounted(state, size="8m") as disk:
        bench.serve()
        number = bench.submit(bench.gated_job("out.npy"))
        wait_until(lambda: bench.begun(), "the first block")
        fill(state / "filler")
        _, err = bench.run(
            "submit", bench.job("b.yaml", input="in.npy", output="b.npy", operation="copy"), code=1
        )
        assert "the journal can't be written" in err
        bench.open_gate()
        with bench.client() as client:
            assert client.wait(number, timeout_s=60).state == "done"
        bench.kill_service()
        bench.serve()
        (state / "filler").unlink()
        disk.change(size="16m")
        with bench.client() as client:
            assert client.wait(number, timeout_s=60).state == "done"
        bench.run("submit", "--wait", "b.yaml")
        bench.end_service()
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), voxels)
    np.testing.assert_array_equal(np.load(bench.folder / "b.npy"), voxels)


def fill(path):
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
