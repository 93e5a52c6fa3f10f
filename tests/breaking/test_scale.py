"""A thousand queued jobs survive a kill; hundreds of clients watch, and everybody gets answers."""

import threading

import numpy as np
import pytest
from breakage import amount

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def submit_many(bench, client, count):
    for n in range(count):
        job = {
            "input": str(bench.folder / "in.npy"),
            "output": str(bench.folder / f"q/{n}.npy"),
            "operation": "copy",
        }
        client.submit(job)


def test_a_thousand_queued_jobs_are_there_after_a_kill_and_all_are_done(bench):
    voxels, count = bench.volume(shape=(8, 8, 8)), amount("QUEUED", 1000)
    bench.serve()
    with bench.client(timeout_s=60) as client:
        client.pause()
        submit_many(bench, client, count)
    bench.kill_service()
    bench.serve()
    with bench.client(timeout_s=60) as client:
        assert len(client.jobs("queued", limit=2 * count)) == count
        client.resume()
        for number in range(1, count + 1):
            info = client.wait(number, timeout_s=300)
            assert info.state == "done", info.reason
    bench.end_service()
    for n in range(count):
        np.testing.assert_array_equal(np.load(bench.folder / f"q/{n}.npy"), voxels)


def test_many_clients_that_watch_see_the_end_of_their_jobs(bench):
    watchers, ends, errors = amount("WATCHERS", 200), {}, []
    bench.volume(shape=(8, 8, 8))
    bench.serve()

    def watch(number):
        try:
            with bench.client(timeout_s=60) as watcher:
                for info in watcher.watch(number):
                    ends[number] = info.state
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            errors.append(error)

    with bench.client(timeout_s=60) as client:
        client.pause()
        submit_many(bench, client, watchers)
        threads = [threading.Thread(target=watch, args=(n + 1,), daemon=True) for n in range(watchers)]
        for thread in threads:
            thread.start()
        assert client.service().workers == 2
        client.resume()
        for number in range(1, watchers + 1):
            client.wait(number, timeout_s=300)
        for thread in threads:
            thread.join(60)
    assert errors == []
    assert ends == {n + 1: "done" for n in range(watchers)}
    bench.end_service()
