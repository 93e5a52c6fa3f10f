"""What workers take: memory is watched, workers are replaced, fewer run where it is short."""

import numpy as np


def greedy_job(bench, mib):
    args = {"at": [20, 0, 0], "mib": mib, "mark": bench.gate}
    return bench.steps_job("steps:greedy", args, retries=1)


def test_a_block_that_takes_too_much_is_told_in_full_and_the_rest_finishes(bench):
    bench.volume()
    bench.serve("--worker-memory", "300MiB")
    bench.run("submit", "--wait", greedy_job(bench, 800), code=1)
    with bench.client() as client:
        info = client.job(1)
        (failure,) = client.failures(1)
        lines = [line for line in client.logs(1) if line.kind in ("retry", "failed")]
    assert (info.state, info.done, info.failed) == ("done_with_failures", 3, 1)
    assert failure.start == (20, 0, 0)
    assert "300 MiB" in lines[0].text
    assert "600 MiB" in failure.reason  # alone, it was allowed what both workers may take
    bench.end_service()


def test_a_block_that_takes_too_much_may_take_the_memory_of_all_when_alone(bench):
    voxels = bench.volume()
    bench.serve("--worker-memory", "400MiB")
    bench.run("submit", "--wait", greedy_job(bench, 500))
    with bench.client() as client:
        info = client.job(1)
    assert (info.state, info.retries) == ("done", 1)
    np.testing.assert_array_equal(bench.read("out.npy"), voxels)
    bench.end_service()


def test_fewer_workers_are_busy_while_memory_is_short(bench, wait_until):
    bench.volume(shape=(400, 30, 20))
    bench.serve("--memory", "700MiB")
    job = bench.steps_job("steps:hungry", {"gate": bench.gate, "mib": 400}, rows=1, retries=9)
    number = bench.submit(job)
    with bench.client() as client:
        wait_until(lambda: client.service().allowed == 1, "fewer workers")
        bench.open_gate()
        wait_until(lambda: client.service().allowed == 2, "more workers again")
        assert client.wait(number, timeout_s=60).state == "done"
    bench.end_service()


def replaceable(bench, function, **args):
    return bench.steps_job(function, {"gate": bench.gate, **args}, rows=5, retries=0)


def check_replaced(bench, voxels):
    """All came out at the first attempt, in more than one process."""
    with bench.client() as client:
        info = client.wait(1, timeout_s=60)
    assert (info.state, info.retries) == ("done", 0)
    assert len({name.rsplit("-", 1)[1] for name in bench.begun()}) >= 2
    np.testing.assert_array_equal(bench.read("out.npy"), voxels)


def test_a_worker_that_is_too_old_ends_its_block_and_is_replaced(bench, wait_until):
    voxels = bench.volume()
    bench.serve("--recycle-age", "0.3", workers=1)
    with bench.client() as client:
        bench.submit(replaceable(bench, "steps:gated"))
        wait_until(lambda: bench.begun(), "a block at work")
        (pid,) = {int(name.rsplit("-", 1)[1]) for name in bench.begun()}
        wait_until(lambda: any(w.retiring and w.pid == pid for w in client.workers()), "its age")
        bench.open_gate()
    check_replaced(bench, voxels)
    bench.end_service()


def test_a_worker_that_has_grown_too_much_ends_its_block_and_is_replaced(bench, wait_until):
    voxels = bench.volume()
    bench.serve("--recycle-growth", "60MiB", workers=1)
    with bench.client() as client:
        bench.submit(replaceable(bench, "steps:leaky", mib=200))
        wait_until(lambda: len(bench.begun()) == 3, "the block that will leak")
        wait_until(lambda: client.workers()[0].tasks >= 2, "the first look at its memory")
        assert not client.workers()[0].retiring
        (bench.folder / "gate.leak").touch()
        wait_until(lambda: client.workers()[0].retiring, "its growth")
        bench.open_gate()
    check_replaced(bench, voxels)
    bench.end_service()


def test_workers_are_replaced_after_so_many_blocks(bench):
    voxels = bench.volume()
    bench.serve("--recycle-tasks", "3", workers=1)
    job = bench.steps_job("steps:poison_until", {"at": [-1], "cure": bench.gate}, rows=2)
    bench.run("submit", "--wait", job)
    pids = {name.rsplit("-", 2)[1] for name in bench.begun()}
    assert len(pids) >= 2
    np.testing.assert_array_equal(bench.read("out.npy"), voxels)
    with bench.client() as client:
        info = client.job(1)
    assert (info.state, info.retries) == ("done", 0)  # being replaced is no failure
    bench.end_service()
