import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.blockwise.status import StatusRecord, format_status

FILESET = {"address": "out.json", "block_shape": [10, 10, 10]}


@pytest.mark.parametrize("output", [FILESET, "out.npy", "out.h5/a/b"], ids=["fileset", "npy", "hdf5"])
def test_what_a_run_has_written_is_fine_until_it_is_damaged(bench, output):
    bench.volume()
    bench.run(
        "run", bench.job(input="in.npy", output=output, operation="copy", block_shape=[10, 10, 10], workers=2)
    )
    address = output if isinstance(output, str) else output["address"]
    out, err = bench.run("volume", "verify", address, "--workers", "2")
    assert "24 of 24 blocks" in out
    assert err == ""
    if address == "out.json":
        damaged = Path(BlockwiseFileset(bench.folder / address).block_file((10, 20, 0)))
    else:
        damaged = bench.folder / address.split("/")[0]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    out, err = bench.run("volume", "verify", address, "--workers", "2", "--json", code=1)
    found = json.loads(out)
    assert (found["ok"], found["damaged"], len(found["damage"])) == (23, 1, 1)
    if address == "out.json":
        bench.run("run", "job.yaml")
    else:  # somebody may have changed it on purpose
        assert "1 of its 24 blocks" in bench.run("run", "job.yaml", code=6)[1]
        bench.run("run", "job.yaml", "--overwrite")
    bench.run("volume", "verify", address)
    assert bench.leavings() == []


def test_ctrl_c_ends_it_at_once_with_130_and_leaves_no_process(bench, wait_until):
    bench.volume()
    bench.run("run", bench.job(input="in.npy", output=FILESET, operation="copy", workers=2))
    fileset = BlockwiseFileset(bench.folder / "out.json")
    endless = Path(fileset.block_file((0, 0, 0)))
    os.truncate(endless, 1 << 40)  # a sparse file that takes minutes to read
    status = Path(fileset.dataset_directory((0, 0, 0))) / "STATUS.txt"
    status.write_bytes(format_status(StatusRecord(1 << 40, "crc32:00000000")))
    process = bench.start("volume", "verify", "out.json", "--workers", "2")

    def begun():
        children = psutil.Process(process.pid).children()
        return any(str(endless) in {file.path for file in child.open_files()} for child in children)

    wait_until(begun, "the endless block to be read")
    children = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert not [child for child in children if child.is_running()]
