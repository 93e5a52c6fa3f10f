"""Jobs of all ends through one service for a while: every result is right, and nothing grows."""

import os
import random
import shutil
import time

import numpy as np
import psutil
import pytest
from breakage import amount

pytestmark = [pytest.mark.long, pytest.mark.timeout(amount("SOAK_S", 30.0) + 300)]
STEPS = """
import os

def raises(block, context):
    if context.roi.start[0] >= 32:
        raise RuntimeError("no luck")
    print("hello", context.roi.start)
    return block

def dies(block, context):
    if context.roi.start == (0, 0, 0):
        os.kill(os.getpid(), 9)
    return block
"""
COPIES = ("o{}.json", "o{}.json", "o{}.npy", "o{}.h5/v")


class Soak:
    """Submits batches of six jobs, four that copy, one that raises, one whose worker dies."""

    def __init__(self, bench, client):
        self.bench, self.client, self.rng, self.number = bench, client, random.Random(3), 0
        self.voxels = bench.volume(shape=(64, 64, 64))
        (bench.folder / "code").mkdir()
        (bench.folder / "code" / "odd.py").write_text(STEPS)

    def submit(self, operation, output, **fields):
        self.number += 1
        address = str(self.bench.folder / output.format(self.number))
        shape = {"block_shape": [32, 32, 32]} if address.endswith("json") else {}
        job = {
            "input": str(self.bench.folder / "in.npy"),
            "output": {"address": address, **shape, **fields},
            "block_shape": [32, 32, 32],
            "operation": operation,
            "retries": 0,
        }
        if operation != "copy":
            job["user_code"] = str(self.bench.folder / "code")
        return self.client.submit(job).id

    def batch(self):
        copies = [
            self.submit("copy", output, **({"compression": "gzip"} if place == 1 else {}))
            for place, output in enumerate(COPIES)
        ]
        first = self.number - len(COPIES)
        raising = self.submit({"python": {"function": "odd:raises", "halo_check": False}}, "o{}.npy")
        dying = self.submit({"python": {"function": "odd:dies", "halo_check": False}}, "o{}.npy")
        cancelled = self.submit("copy", "o{}.npy")
        self.client.cancel(cancelled)
        for place, number in enumerate(copies):
            assert self.end_of(number) == "done", self.client.job(number).reason
            name = COPIES[place].format(first + place + 1)
            if self.rng.random() < 0.3:
                np.testing.assert_array_equal(self.bench.read(name), self.voxels)
        assert self.end_of(raising) == "failed"
        assert self.end_of(dying) in ("done", "done_with_failures", "failed")
        assert self.end_of(cancelled) in ("cancelled", "done")
        for path in [*self.bench.folder.glob("o[0-9]*"), *self.bench.folder.glob(".o[0-9]*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def end_of(self, number):
        state = self.client.wait(number, timeout_s=60).state
        assert list(self.client.logs(number)) is not None
        return state


def test_nothing_grows_but_the_journal(bench):
    bench.serve()
    process, memory = psutil.Process(bench.service.pid), set(os.listdir("/dev/shm"))
    with bench.client(timeout_s=60) as client:
        soak = Soak(bench, client)
        for _ in range(3):
            soak.batch()
        files, threads, begun = process.num_fds(), process.num_threads(), process.memory_info().rss
        first, end_s = soak.number, time.monotonic() + amount("SOAK_S", 30.0)
        while time.monotonic() < end_s:
            soak.batch()
        assert process.num_fds() <= files + 6  # connections of clients come and go
        assert process.num_threads() <= threads + 2
        jobs = soak.number - first
        assert process.memory_info().rss - begun < (16 << 20) + jobs * (10 << 10)
    assert "Traceback" not in bench.end_service()
    assert [name for name in set(os.listdir("/dev/shm")) - memory if "blockmill" in name] == []
