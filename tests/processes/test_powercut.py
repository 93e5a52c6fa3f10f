"""The power is cut: a real ext4 on a loop device loses what had not reached it; and what such cuts leave."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from small_disks import Disk

from blockmill.shared.locking.filelock import FileLock
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

HOLD = """if True:
    import os, sys, time
    from blockmill import FileLock
    os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
    lock = FileLock(sys.argv[1])
    lock.acquire()
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def disk(tmp_path):
    with Disk.mounted(tmp_path) as made:
        yield made


def test_after_a_power_cut_service_and_run_go_on_by_themselves(bench, disk, wait_until):
    voxels = bench.volume()
    bench.environ["XDG_STATE_HOME"] = str(disk.root / "state")
    output = f"{disk.root}/out.json"
    bench.serve(workers=1)
    number = bench.submit(bench.job("b.yaml", input="in.npy", output=f"{disk.root}/b.npy", operation="copy"))
    bench.run("wait", str(number))
    (bench.folder / "code").mkdir()
    shutil.copy(bench.folder / "steps.py", bench.folder / "code")
    args = {"gate": bench.gate, "free": 20}
    job = bench.steps_job("steps:gated", args, output=output, workers=2, user_code="code")
    run = bench.start("run", job)
    wait_until(lambda: len(bench.begun()) == 4, "half of the blocks")
    with BlockwiseFileset(output) as fileset:
        block = fileset.block_file((30, 0, 0))
    writer = subprocess.Popen([sys.executable, "-c", HOLD, block], stdout=subprocess.PIPE, text=True)
    bench.processes.append(writer)
    assert writer.stdout is not None and writer.stdout.readline() == "held\n"
    locks = {path.name for path in disk.root.rglob("*lock") if path.is_file()}
    assert {"service.lock", "lock", "out.json.job.lock", os.path.basename(f"{block}.lock")} <= locks

    disk.cut_power()
    children = [*bench.children_of(run), *bench.children_of(bench.service)]
    for process in (run, writer, bench.service):
        process.kill()
        process.wait()
    wait_until(lambda: bench.gone(children), "the end of the workers")
    disk.back()

    holder = FileLock(block).holder()
    assert holder is not None and holder.is_torn
    bench.open_gate()
    bench.run("run", job)
    np.testing.assert_array_equal(bench.read(output), voxels)
    bench.serve(workers=1)
    with bench.client() as client:
        assert client.job(number).state == "done"
    bench.end_service()
    assert [path for path in disk.root.rglob("*") if path.name == "lock" or path.suffix == ".lock"] == []


@pytest.mark.parametrize("left", [b"", bytes(300)], ids=["empty", "zeros"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_description_that_a_power_cut_has_emptied_is_made_again(bench, left, overwrite):
    voxels = bench.volume()
    job = bench.steps_job("steps:raises", {"at": [30, 0, 0]}, output="out.json", retries=0)
    bench.run("run", job, code=1)
    made = (bench.folder / "out.json").read_bytes()
    blocks = sorted((bench.folder / "out_blocks").rglob("STATUS.txt"))
    assert made and len(blocks) < 4
    (bench.folder / "out.json").write_bytes(left)
    bench.run("run", job, *(["--overwrite"] if overwrite else []), code=1)
    assert (bench.folder / "out.json").read_bytes() == made
    with BlockwiseFileset(bench.folder / "out.json") as fileset:
        for start in (0, 10, 20):
            if fileset.block_status((start, 0, 0)):
                roi = next(roi for roi in fileset.block_rois() if roi.start[0] == start)
                np.testing.assert_array_equal(fileset.read(roi), voxels[roi.to_slice()])


def test_an_empty_description_without_a_record_of_ours_is_somebody_elses(bench):
    bench.volume()
    (bench.folder / "out.json").touch()
    _, err = bench.run("run", bench.steps_job("steps:raises", {"at": []}, output="out.json"), code=6)
    assert "out.json exists, and no record beside it" in err
    assert (bench.folder / "out.json").read_bytes() == b""


@pytest.mark.parametrize("left", [b"", b"\x93garbage"], ids=["empty", "garbage"])
def test_a_service_takes_over_a_lock_that_nobody_holds(bench, left):
    state = bench.folder / "state" / "blockmill"
    state.mkdir(parents=True)
    for path in (state / "service.lock", bench.socket.with_name(f"{bench.socket.name}.lock")):
        path.write_bytes(left)
    bench.serve(workers=1)
    bench.end_service()
    assert not (state / "service.lock").exists()
