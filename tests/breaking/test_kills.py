"""The nursery is killed again and again while jobs run: no job is lost."""

import random
import signal

import numpy as np
import psutil
import pytest
from breakage import amount

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
SLOW = "import time\ndef step(block, context):\n    time.sleep(0.01)\n    return block\n"


def test_no_kill_of_the_nursery_costs_a_job(bench):
    voxels = bench.volume(shape=(64, 64, 64))
    (bench.folder / "code").mkdir()
    (bench.folder / "code" / "slow.py").write_text(SLOW)
    operation = {"python": {"function": "slow:step", "halo_check": False}}
    bench.serve()
    service, rng, kills = psutil.Process(bench.service.pid), random.Random(1), 0
    with bench.client(timeout_s=60) as client:
        for n in range(amount("NURSERIES", 25)):
            outputs = [bench.folder / f"o{n}.json", bench.folder / f"o{n}.npy"]
            jobs = [
                client.submit(
                    {
                        "input": str(bench.folder / "in.npy"),
                        "output": {"address": str(o)}
                        | ({"block_shape": [16, 16, 32]} if o.suffix == ".json" else {}),
                        "block_shape": [16, 16, 32],
                        "user_code": str(bench.folder / "code"),
                        "operation": operation,
                        "retries": 9,
                    }
                ).id
                for o in outputs
            ]
            client_waits(client, jobs[0], rng)
            for child in service.children():
                child.send_signal(signal.SIGKILL)
                kills += 1
            infos = [client.wait(number, timeout_s=60) for number in jobs]
            assert [info.state for info in infos] == ["done", "done"], [info.reason for info in infos]
            for output in outputs:
                np.testing.assert_array_equal(bench.read(output.name), voxels)
    assert kills >= amount("NURSERIES", 25) - 2
    bench.end_service()


def client_waits(client, number, rng):
    """Return once some of its blocks are done, any number of them, or it has ended."""
    wanted = rng.randrange(0, 30)
    for info in client.watch(number):
        if info.ended or info.done >= wanted:
            return
