"""Jobs of several stages with real processes: killed at any stage, and in a service."""

import json

import numpy as np
import pytest
from scipy import ndimage

from blockmill import Refused

ROWS = 10  # of a block; there are 4


def stages_of(bench, gated):
    """Two stages: an inversion of sorts, and a median. Blocks of the `gated` one wait for the gate."""
    gate = {
        "python": {"function": "steps:gated", "args": {"gate": bench.gate, "free": 20}, "halo_check": False}
    }
    first, second = {"gaussian": {"sigma": 1.0}}, {"median": {"size": 3}}
    return {
        "smooth": {
            "input": "raw",
            "operation": [first, gate] if gated == "smooth" else first,
            "block_shape": [ROWS, 30, 20],
        },
        "median": {
            "input": "smooth",
            "operation": [second, gate] if gated == "median" else second,
            "block_shape": [ROWS, 30, 20],
            "output": "out.npy",
        },
    }


def staged_job(bench, gated):
    return bench.job(inputs={"raw": "in.npy"}, stages=stages_of(bench, gated), user_code=".", workers=2)


def expected(voxels):
    return ndimage.median_filter(ndimage.gaussian_filter(voxels, 1.0), 3)


def waits(bench, wait_until):
    """Wait until two blocks are done and two wait for the gate."""
    wait_until(
        lambda: sum(name.startswith(("20-", "30-")) for name in bench.begun()) == 2, "blocks that wait"
    )


@pytest.mark.parametrize("gated", ["smooth", "median"])
def test_a_killed_run_goes_on_in_its_stage(bench, wait_until, gated):
    voxels = bench.volume()
    job = staged_job(bench, gated)
    process = bench.start("run", job)
    waits(bench, wait_until)
    children = bench.children_of(process)
    process.kill()
    process.wait()
    wait_until(lambda: bench.gone(children), "the end of the workers")
    assert (bench.folder / ".out.npy.blockmill" / "stages" / "smooth.json").exists()
    bench.open_gate()
    summary = json.loads(bench.run("run", "--json", job)[0])
    assert (summary["outcome"], summary["blocks"], summary["finished"]) == ("done", 8, 8)
    assert summary["skipped"] >= (6 if gated == "median" else 2)
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), expected(voxels))
    assert bench.leavings() == []
    assert not (bench.folder / ".out.npy.blockmill" / "stages").exists()
    assert json.loads(bench.run("run", "--json", job)[0])["skipped"] == 8


def test_a_service_goes_on_with_the_stage_after_a_kill(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit(staged_job(bench, "median"))
    waits(bench, wait_until)
    bench.kill_service()
    bench.open_gate()
    bench.serve()
    with bench.client(timeout_s=60) as client:
        info = client.wait(number, timeout_s=60)
        assert (info.state, info.blocks, info.done, info.failed) == ("done", 8, 8, 0)
        assert client.spec(number).output.address == str(bench.folder / "out.npy")
        lines = [line.text for line in client.logs(number)]
    assert {"stage smooth", "stage median"} <= set(lines)
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), expected(voxels))
    bench.end_service()
    assert bench.leavings() == []


def test_a_failed_stage_is_named_and_retried(bench):
    voxels = bench.volume()
    stages = stages_of(bench, None)
    cure = str(bench.folder / "cure")
    stages["median"]["operation"] = [
        {"median": {"size": 3}},
        {
            "python": {
                "function": "steps:raises_until",
                "args": {"at": [10, 0, 0], "cure": cure},
                "halo_check": False,
            }
        },
    ]
    bench.serve()
    number = bench.submit(bench.job(inputs={"raw": "in.npy"}, stages=stages, user_code=".", retries=0))
    with bench.client(timeout_s=60) as client:
        info = client.wait(number, timeout_s=60)
        assert info.state == "failed"
        assert "stages.median: block [10, 0, 0]" in info.reason
        with pytest.raises(Refused, match="has several stages"):
            client.retry(number, failed_only=True)
        (bench.folder / "cure").touch()
        client.retry(number)
        info = client.wait(number, timeout_s=60)
        assert (info.state, info.done, info.failed) == ("done", 8, 0)
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), expected(voxels))
    bench.end_service()


def test_another_job_may_not_read_what_a_stage_still_writes(bench):
    bench.volume()
    stages = stages_of(bench, "median")
    stages["smooth"]["output"] = "smooth.npy"
    bench.serve()
    bench.submit(bench.job(inputs={"raw": "in.npy"}, stages=stages, user_code="."))
    with bench.client(timeout_s=60) as client:
        reader = bench.job("other.yaml", input="smooth.npy", output="other.npy", operation="copy")
        with pytest.raises(Refused, match=r"writes .*smooth.npy, which this job reads"):
            client.submit(bench.folder / reader)
    bench.open_gate()
    bench.end_service()
