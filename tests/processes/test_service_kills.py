"""Whatever is killed, no accepted job is lost, and no finished block is done without need."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3

import numpy as np
import psutil
import pytest

from blockmill.shared.errors import NoSuchJob, Refused
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset


@pytest.mark.parametrize("output", ["out.json", "out.npy", "out.h5/v"])
def test_a_killed_service_goes_on_with_its_jobs_when_it_is_back(bench, output):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit_half_done(output)
    bench.kill_service()
    bench.open_gate()
    bench.serve()
    with bench.client() as client:
        info = client.wait(number, timeout_s=60)
        texts = [line.text for line in client.logs(number)]
    assert (info.state, info.runs, info.blocks, info.done, info.skipped) == ("done", 2, 4, 4, 2)
    assert info.redone == 0
    assert any("the service was ended" in text for text in texts)
    times = bench.times_begun()
    assert times["0-0-0"] == times["10-0-0"] == 1  # the finished ones were not done again
    np.testing.assert_array_equal(bench.read(output), voxels)
    bench.end_service()
    assert bench.leavings() == []


def test_a_killed_service_has_jobs_that_had_not_begun(bench, wait_until):
    bench.volume()
    bench.serve(workers=1)
    first = bench.submit(bench.gated_job())
    wait_until(lambda: bench.begun(), "the first job")
    with bench.client() as client:
        second = client.submit(
            bench.folder / bench.job("b.yaml", input="out.json", output="b.npy", operation="copy"),
            after=[first],
        ).id
    bench.service.kill()
    bench.service.wait()
    bench.open_gate()
    bench.serve()
    bench.run("wait", str(first), str(second))
    np.testing.assert_array_equal(bench.read("b.npy"), bench.read("in.npy"))
    bench.end_service()


def test_a_worker_that_is_killed_costs_one_attempt(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    job = bench.steps_job("steps:gated", {"gate": bench.gate}, output="out.json", rows=2)
    number = bench.submit(job)
    wait_until(lambda: len(bench.begun()) == 2, "two workers at work")
    victim = int(bench.begun()[0].rsplit("-", 1)[1])
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(bench.begun()) == 3, "another worker at the same block")
    bench.open_gate()
    with bench.client() as client:
        info = client.wait(number, timeout_s=60)
        retries = [line for line in client.logs(number) if line.kind == "retry"]
    assert (info.state, info.done, info.retries) == ("done", 20, 1)
    assert f"pid {victim}" in retries[0].text
    assert "SIGKILL" in retries[0].text
    assert retries[0].attempt == 1
    np.testing.assert_array_equal(bench.read(), voxels)
    bench.end_service()


def poisoned(bench, **fields):
    args = {"at": [6, 0, 0], "cure": bench.gate}
    return bench.steps_job("steps:poison_until", args, output="out.json", rows=2, retries=1, **fields)


def test_a_poison_block_is_set_aside_and_retried_alone_later(bench):
    voxels = bench.volume()
    bench.serve()
    bench.run("submit", "--wait", poisoned(bench), code=1)
    with bench.client() as client:
        info = client.job(1)
        (failure,) = client.failures(1)
        dead = [line for line in client.logs(1) if line.kind == "failed"]
    assert (info.state, info.done, info.failed) == ("done_with_failures", 19, 1)
    assert (failure.start, failure.stop, failure.attempts) == ((6, 0, 0), (8, 30, 20), 2)
    assert "SIGKILL" in failure.reason
    assert "MiB" in failure.reason
    assert "about to crash" in dead[0].text
    before = bench.times_begun()
    bench.open_gate()
    bench.run("retry", "1", "--failed", "--wait")
    after = bench.times_begun()
    after.subtract(before)
    assert sum(after.values()) == 1
    np.testing.assert_array_equal(bench.read(), voxels)
    assert json.loads(bench.run("status", "1", "--json")[0])["jobs"][0]["failed"] == 0
    bench.end_service()
    assert bench.leavings() == []


def test_a_worker_and_the_service_are_killed_at_once(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit(bench.gated_job(free=20))
    wait_until(lambda: len(bench.begun()) == 4, "two blocks at work")
    os.kill(int(bench.begun()[-1].rsplit("-", 1)[1]), signal.SIGKILL)
    bench.kill_service()
    bench.open_gate()
    bench.serve()
    bench.run("wait", str(number))
    np.testing.assert_array_equal(bench.read(), voxels)
    bench.end_service()
    assert bench.leavings() == []


def test_a_client_that_is_killed_does_not_end_its_job(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    client = bench.start("submit", "--wait", bench.gated_job())
    wait_until(lambda: len(bench.begun()) == 2, "two blocks at work")
    client.kill()
    client.wait()
    bench.open_gate()
    bench.run("wait", "1")
    np.testing.assert_array_equal(bench.read(), voxels)
    bench.end_service()


def test_a_waiting_client_stands_a_restart_of_the_service(bench, wait_until):
    bench.volume()
    bench.serve()
    waiting = bench.start("submit", "--wait", bench.gated_job())
    wait_until(lambda: len(bench.begun()) == 2, "two blocks at work")
    bench.service.kill()
    bench.service.wait()
    bench.open_gate()
    bench.serve()
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    bench.end_service()


def test_no_worker_outlives_a_killed_service_even_while_it_holds_the_interpreter(bench, wait_until):
    bench.volume()
    bench.serve()
    job = bench.steps_job("steps:holds_the_lock", {"mark": bench.gate}, rows=20)
    number = bench.submit(job)
    wait_until(lambda: len(bench.begun()) == 2, "both workers in their endless call")
    bench.kill_service()
    bench.serve()
    bench.run("cancel", str(number))
    bench.run("wait", str(number), code=1)
    bench.end_service()


def test_a_job_that_was_being_cancelled_when_the_service_died_stays_cancelled(bench, wait_until):
    bench.volume()
    bench.serve()
    number = bench.submit(bench.gated_job(free=20))
    wait_until(lambda: len(bench.begun()) == 4, "two blocks at work")
    bench.service.send_signal(signal.SIGSTOP)  # so that it dies with the request half met, or not at all
    asking = bench.start("cancel", "--no-wait", str(number))
    bench.service.send_signal(signal.SIGCONT)
    asking.communicate(timeout=60)
    bench.service.kill()
    bench.service.wait()
    bench.open_gate()
    bench.serve()
    with bench.client() as client:
        assert client.wait(number, timeout_s=60).state == "cancelled"
    wait_until(lambda: not any(".partial-" in p.name for p in bench.folder.rglob("*")), "a clean output")
    bench.end_service()


def test_the_death_of_the_nursery_costs_no_job(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit(bench.gated_job(free=20))
    wait_until(lambda: len(bench.begun()) == 4, "two blocks at work")
    (nursery,) = psutil.Process(bench.service.pid).children()
    workers = nursery.children()
    nursery.kill()
    wait_until(lambda: not any(worker.is_running() for worker in workers), "the end of its workers")
    bench.open_gate()
    with bench.client() as client:
        info = client.wait(number, timeout_s=60)
    assert (info.state, info.runs) == ("done", 2)
    np.testing.assert_array_equal(bench.read(), voxels)
    bench.end_service()
    assert bench.leavings() == []


def test_a_damaged_block_is_found_and_done_again(bench):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit_half_done()
    with bench.client() as client:
        client.cancel(number)
        client.wait(number)
        with BlockwiseFileset(bench.folder / "out.json") as fileset:
            path = fileset.block_file((0, 0, 0))
        with open(path, "r+b") as file:
            file.seek(-100, os.SEEK_END)
            file.write(b"damaged!")
        bench.open_gate()
        client.retry(number)
        info = client.wait(number, timeout_s=60)
    assert (info.state, info.redone, info.skipped) == ("done", 1, 1)
    np.testing.assert_array_equal(bench.read(), voxels)
    bench.end_service()


def test_a_full_disk_refuses_jobs_and_loses_none(bench):
    """The file size limit of the process stands for the full disk: SQLite gets an error from the system."""
    bench.volume()
    bench.serve()
    limit = psutil.RLIMIT_FSIZE
    service = psutil.Process(bench.service.pid)
    before = service.rlimit(limit)
    copy = bench.job("a.yaml", input="in.npy", output="a.npy", operation="copy")
    service.rlimit(limit, (4096, before[1]))
    _, err = bench.run("submit", copy, code=1)
    assert "the journal can't be written" in err
    service.rlimit(limit, before)
    with bench.client() as client:
        number = client.submit(bench.folder / copy).id
        assert client.wait(number, timeout_s=60).state == "done"
        states = {info.id: info.state for info in client.jobs()}
        with pytest.raises(NoSuchJob):  # the refused one was never there
            client.job(1)
    assert states == {number: "done"}
    bench.end_service()
    bench.serve()
    with bench.client() as client:
        assert {info.id: info.state for info in client.jobs()} == states
    bench.end_service()


def test_a_job_whose_record_is_damaged_is_put_aside_and_the_others_go_on(bench, wait_until):
    voxels = bench.volume()
    bench.serve(workers=1)
    (bench.folder / "code").mkdir()
    shutil.copy(bench.folder / "steps.py", bench.folder / "code")
    first = bench.submit(
        bench.steps_job("steps:gated", {"gate": bench.gate}, output="out.json", user_code="code")
    )
    wait_until(lambda: bench.begun(), "the first job")
    damaged = bench.submit(bench.job(input="in.npy", output="b.npy", operation="copy"), after=[first])
    follower = bench.submit(bench.job(input="b.npy", output="c.npy", operation="copy"), after=[damaged])
    bench.kill_service()
    with contextlib.closing(sqlite3.connect(bench.folder / "state/blockmill/journal.db")) as journal, journal:
        journal.execute("UPDATE jobs SET record = 'nonsense' WHERE id = ?", (damaged,))
    bench.open_gate()
    for _ in range(2):
        bench.serve(workers=1)
        with bench.client() as client:
            assert client.wait(first, timeout_s=60).state == "done"
            info = client.job(damaged)
            assert info.state == "failed" and "put aside" in info.reason
            assert client.job(follower).state == "cancelled"
            with pytest.raises(Refused, match="put aside"):
                client.retry(damaged)
        out, _ = bench.run("ls", "-a")
        assert "put aside" in " ".join(out.split())
        assert "put aside" in " ".join(bench.run("status", str(damaged))[0].split())
        assert "put aside" in bench.run("logs", str(damaged))[0]
        err = bench.end_service()
        assert f"job {damaged}: its record in the journal can't be read" in err
    np.testing.assert_array_equal(bench.read(), voxels)


def test_a_journal_that_is_removed_under_a_service_refuses_submissions(bench):
    bench.volume()
    bench.serve(workers=1)
    job = bench.job(input="in.npy", output="out.npy", operation="copy")
    for path in (bench.folder / "state/blockmill").glob("journal.db*"):
        path.unlink()
    _, err = bench.run("submit", job, code=1)
    assert "the journal was removed or replaced while the service runs" in err
    assert not (bench.folder / "out.npy").exists()
    assert "removed or replaced" in bench.end_service(code=1)
    bench.serve(workers=1)
    bench.run("submit", "--wait", job)
    bench.end_service()


def test_a_service_and_a_run_remove_candidates_for_locks_whose_makers_were_killed(bench):
    bench.volume()
    state = bench.folder / "state" / "blockmill"
    for protected in (state / "service", bench.socket, bench.folder / "out.npy.job"):
        protected.parent.mkdir(parents=True, exist_ok=True)
        candidate = protected.with_name(f"{protected.name}.lock-0123456789abcdef")
        candidate.touch()
        os.utime(candidate, (0, 0))
    bench.serve(workers=1)
    bench.end_service()
    bench.run("run", bench.job(input="in.npy", output="out.npy", operation="copy"))
    places = (bench.folder, bench.socket.parent)
    assert [path for place in places for path in place.rglob("*.lock-*")] == []
