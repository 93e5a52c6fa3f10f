"""The service: jobs go in, results come out, and people steer what runs."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from blockmill.shared.errors import NoSuchJob, Refused
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.system.impersonation import user_name
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

MAIN = "from blockmill.client.cli.main import main\nmain()"


@pytest.mark.parametrize("output", ["out.json", "out.npy", "out.h5/v"])
def test_a_job_is_submitted_waited_for_and_done(bench, output):
    voxels = bench.volume()
    bench.serve()
    stored = {"address": output, "block_shape": [10, 30, 20]} if output == "out.json" else output
    job = bench.job(input="in.npy", output=stored, block_shape=[10, 30, 20], operation="copy")
    out, _ = bench.run("submit", "--wait", job)
    assert "1" in out
    np.testing.assert_array_equal(bench.read(output), voxels)
    status = json.loads(bench.run("status", "1", "--json")[0])
    (info,) = status["jobs"]
    assert (info["state"], info["blocks"], info["done"], info["failed"]) == ("done", 4, 4, 0)
    bench.end_service()
    assert bench.leavings() == []


def test_jobs_of_the_past_are_known_after_a_restart(bench):
    bench.volume()
    bench.serve()
    number = bench.submit(bench.job(input="in.npy", output="out.npy", operation="copy"))
    with bench.client() as client:
        before = client.wait(number, timeout_s=60)
    bench.end_service()
    bench.serve()
    with bench.client() as client:
        after = client.job(number)
        assert (after.state, after.done, after.ended_s) == ("done", before.done, before.ended_s)
        texts = [line.text for line in client.logs(number)]
        assert texts[0] == "run 1 begins"
        assert texts[-1] == "done"
        with pytest.raises(NoSuchJob):
            client.job(99)
    bench.end_service()


def test_what_is_older_than_the_history_is_forgotten_with_its_log(bench, wait_until):
    bench.volume()
    bench.serve()
    job = bench.job(input="in.npy", output="a.npy", operation="copy")
    bench.run("submit", "--wait", job)
    bench.end_service()
    (log,) = (bench.folder / "state").rglob("jobs/1")
    bench.serve("--history-days", "1e-9")
    with bench.client() as client:
        wait_until(lambda: not client.jobs(), "the end of its history")
        assert not log.exists()
        assert bench.submit(job, overwrite=True) == 2  # a number is never given twice
        client.wait(2, timeout_s=60)
    bench.end_service()
    bench.serve()
    with bench.client() as client:
        assert [info.id for info in client.jobs()] == [2]
    bench.end_service()


def test_a_running_job_is_cancelled(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit(bench.gated_job(free=20))
    wait_until(lambda: len(bench.begun()) >= 4, "two free blocks, and two that wait")
    bench.run("cancel", str(number))
    with bench.client() as client:
        assert client.wait(number, timeout_s=60).state == "cancelled"
    assert not any(".partial-" in path.name for path in bench.folder.rglob("*"))
    with BlockwiseFileset(bench.folder / "out.json") as fileset:
        np.testing.assert_array_equal(fileset.read(Roi((0, 0, 0), (20, 30, 20))), voxels[:20])
        assert fileset.verify_block((0, 0, 0)) is None
    bench.run("wait", str(number), code=1)
    bench.run("wait", "99", code=3)
    bench.end_service()
    assert bench.leavings() == []


@pytest.mark.parametrize("now", [False, True])
def test_running_blocks_may_tidy_up_unless_they_are_to_end_now(bench, wait_until, now):
    bench.volume()
    bench.serve()
    job = bench.steps_job("steps:tidies", {"gate": bench.gate}, output="out.json")
    bench.submit(job)
    wait_until(lambda: len(bench.begun()) == 2, "two blocks at work")
    bench.run("cancel", "1", *(["--now"] if now else []))
    assert (bench.folder / "gate.tidied").exists() != now
    (info,) = json.loads(bench.run("status", "1", "--json")[0])["jobs"]
    assert (info["state"], info["reason"], info["done"]) == ("cancelled", "cancelled on request", 0)
    bench.end_service()
    assert bench.leavings() == []


@pytest.mark.parametrize("output", ["out.json", "out.npy"])
def test_retry_failed_does_just_those_and_says_what_is_left(bench, output):
    voxels = bench.volume()
    bench.serve(workers=1)
    args = {"at": [6, 0, 0], "cure": bench.gate}
    job = bench.steps_job("steps:raises_until", args, output=output, rows=2, retries=0)
    bench.run("submit", "--wait", job, code=1)
    with bench.client() as client:
        before = client.job(1)
        assert (before.state, before.failed) == ("failed", 1)
        assert before.done + before.failed < before.blocks == 20
        begun = set(bench.begun())
        bench.run("retry", "1", "--failed", "--wait", code=1)
        assert [name.partition("-")[0] for name in set(bench.begun()) - begun] == ["6"]
        assert [one.start for one in client.failures(1)] == [(6, 0, 0)]

        bench.open_gate()
        bench.end_service()  # which blocks have failed is known after a restart
        bench.serve(workers=1)
        begun = set(bench.begun())
        bench.run("retry", "1", "--failed", "--wait", code=1)
        assert [name.partition("-")[0] for name in set(bench.begun()) - begun] == ["6"]
        after = client.job(1)
        assert (after.state, after.done, after.failed) == ("failed", before.done + 1, 0)
        assert "never begun" in after.reason
        assert client.failures(1) == []
    bench.run("retry", "1", "--failed", code=6)
    bench.run("retry", "1", "--wait")
    np.testing.assert_array_equal(bench.read(output), voxels)
    bench.end_service()


def test_a_cancelled_job_goes_on_when_it_is_retried(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit(bench.gated_job(free=20))
    wait_until(lambda: len(bench.begun()) >= 4, "two gated blocks")
    with bench.client() as client:
        client.cancel(number)
        client.wait(number)
        bench.open_gate()
        client.retry(number)
        info = client.wait(number, timeout_s=60)
    assert (info.state, info.runs, info.skipped, info.redone) == ("done", 2, 2, 0)
    np.testing.assert_array_equal(bench.read(), voxels)
    bench.end_service()


def test_a_paused_job_starts_nothing_until_it_is_resumed(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit(bench.gated_job())
    wait_until(lambda: len(bench.begun()) == 2, "two blocks at work")
    bench.run("pause", str(number))
    bench.open_gate()
    with bench.client() as client:
        wait_until(lambda: client.job(number).done == 2, "the two blocks")
        other = client.submit(
            bench.folder / bench.job("b.yaml", input="in.npy", output="b.npy", operation="copy")
        )
        assert client.wait(other.id, timeout_s=60).state == "done"  # others go on
        assert client.job(number).paused
        assert len(bench.begun()) == 2
        bench.run("resume", str(number))
        assert client.wait(number, timeout_s=60).state == "done"
    np.testing.assert_array_equal(bench.read(), voxels)
    bench.end_service()


def test_everybody_sees_that_all_jobs_are_paused(bench):
    bench.volume()
    bench.serve()
    copy = bench.job(input="in.npy", output="out.npy", operation="copy")
    paused = f"paused (all, by {user_name(os.getuid())})"
    bench.run("pause", "--all")
    number = str(bench.submit(copy))
    for verb in (["ls"], ["status"], ["status", number]):
        assert f"queued, {paused}" in bench.run(*verb)[0]
    _, told = bench.run("wait", "--timeout", "0.2", number, code=7)
    assert told.count(paused) == 2  # what it waits for, and what it was at the end
    assert "blockmill resume --all" in told
    _, refused = bench.run("resume", number, code=6)
    assert paused in refused
    bench.end_service()
    bench.serve()
    assert json.loads(bench.run("status", "--json")[0])["service"]["paused"] == paused[8:-1]
    assert f"queued, {paused}" in bench.run("ls")[0]
    with bench.client() as client:
        infos = client.watch(int(number))
        assert next(infos).paused_by == paused[8:-1]
        bench.run("resume", "--all")
        (*_, last) = infos
    assert (last.state, last.paused, last.paused_by) == ("done", False, "")
    assert "paused" not in bench.run("status")[0]
    bench.end_service()


@pytest.mark.parametrize("verb", [["wait"], ["watch"]])
def test_a_wait_says_what_it_waits_for(bench, verb):
    """By itself, before it ends."""
    bench.volume()
    bench.serve()
    bench.run("pause", "--all")
    number = bench.submit(bench.job(input="in.npy", output="out.npy", operation="copy"))
    waiting = subprocess.Popen(
        [sys.executable, "-c", MAIN, *verb, str(number), "--socket", bench.socket],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        line = waiting.stdout.readline()
        bench.run("resume", "--all")
        waiting.communicate(timeout=60)
    finally:
        waiting.kill()
        waiting.wait()
    assert f"job {number} waits: queued, paused (all, by " in line
    assert waiting.returncode == 0
    bench.end_service()


def test_followers_wait_and_are_cancelled_when_their_job_fails(bench):
    bench.volume()
    bench.serve()
    first = bench.job("a.yaml", input="in.npy", output="a.npy", operation="copy")
    bad = bench.steps_job("steps:raises", {"at": [10, 0, 0]}, name="bad.yaml", output="bad.npy", retries=0)
    second = bench.job("b.yaml", input="a.npy", output="b.npy", operation="copy")
    with bench.client() as client:
        bench.run("pause", "--all")
        a = client.submit(bench.folder / first).id
        b = client.submit(bench.folder / second, after=[a]).id
        c = client.submit(bench.folder / bad, after=["b"]).id
        d = client.submit(bench.folder / second, after=[c], overwrite=True).id
        bench.run("resume", "--all")
        bench.run("wait", str(b))
        assert client.wait(c, timeout_s=60).state == "failed"
        follower = client.wait(d, timeout_s=60)
    assert follower.state == "cancelled"
    assert f"job {c}" in follower.reason
    np.testing.assert_array_equal(bench.read("b.npy"), bench.read("in.npy"))
    bench.end_service()


def test_a_small_job_waits_for_the_blocks_that_run_and_no_more(bench, wait_until):
    bench.volume(shape=(400, 30, 20))
    bench.serve()
    job = bench.steps_job("steps:gated_each", {"gate": bench.gate}, output="big.npy", rows=1)
    big = bench.submit(job)
    wait_until(lambda: len(bench.begun()) == 2, "the big job on both workers")
    copy = bench.job("s.yaml", input="in.npy", output="s.npy", operation="copy")
    with bench.client() as client:
        small = client.submit(bench.folder / copy).id
        wait_until(lambda: client.job(small).state == "running", "the small job")
        # Those that run end, and none after them; but the big one gets both workers once more where the
        # small job is still being planned, and again between its probe and its first block; on a slow
        # machine each of these may take longer than a block.
        turns = range(0, 12, 2)
        for first in turns:
            for block in (first, first + 1):
                (bench.folder / f"gate-{block}").touch()
            wait_until(
                lambda n=first: client.job(small).ended or len(bench.begun()) == n + 4, "the next blocks"
            )
            if client.job(small).ended:
                break
        assert client.wait(small, timeout_s=60).state == "done"
        # A block that was let go may end a moment after the small job.
        wait_until(lambda: client.job(big).done in [n + 2 for n in turns], "the blocks that were let go")
        bench.open_gate()
        assert client.wait(big, timeout_s=60).state == "done"
    bench.end_service()


def test_what_the_operation_prints_is_told_for_its_block(bench):
    bench.volume()
    bench.serve()
    bench.run("submit", "--wait", bench.steps_job("steps:says"))
    out, _ = bench.run("logs", "1", "--block", "20,0,0", "--json")
    lines = [line for line in json.loads(out)["lines"] if line["kind"] == "printed"]
    assert sorted(line["text"] for line in lines) == ["from a child", "this is 20 0 0"]
    assert all(line["block"] == [20, 0, 0] for line in lines)
    bench.end_service()


def test_two_jobs_with_code_of_the_same_name_get_their_own(bench):
    bench.volume()
    bench.serve(workers=1)
    for value in (1, 2):
        folder = bench.folder / f"code{value}"
        folder.mkdir()
        (folder / "mine.py").write_text(f"def step(block):\n    return block * 0 + {value}\n")
        job = bench.steps_job(
            "mine:step", name=f"{value}.yaml", output=f"{value}.npy", user_code=f"code{value}"
        )
        bench.run("submit", "--wait", job)
        assert set(np.unique(bench.read(f"{value}.npy"))) == {value}
    bench.end_service()


def test_a_second_service_is_refused(bench):
    bench.serve()
    _, err = bench.run("serve", code=6)
    assert "another service" in err
    _, err = bench.run("serve", "--socket", str(bench.socket) + "2", code=6)
    assert "the state in" in err
    bench.end_service()


def test_nobody_there_is_told_with_how_to_start_it(bench):
    _, err = bench.run("ls", code=4)
    assert "blockmill serve" in err


def test_a_job_that_writes_what_another_writes_is_refused(bench):
    bench.volume()
    bench.serve()
    job = bench.gated_job()
    number = bench.submit(job)
    with bench.client() as client, pytest.raises(Refused, match=f"job {number}"):
        client.submit(bench.folder / job)
    bench.run("submit", job, code=6)
    bench.open_gate()
    bench.run("wait", str(number))
    bench.end_service()


def test_the_number_of_workers_changes_while_it_runs(bench, wait_until):
    bench.volume()
    bench.serve(workers=1)
    number = bench.submit(bench.gated_job().replace("job.yaml", "job.yaml"))
    wait_until(lambda: len(bench.begun()) == 1, "the only worker at work")
    with bench.client() as client:
        bench.run("workers", "set", "2")
        wait_until(lambda: len(bench.begun()) == 2, "another one")
        bench.run("workers", "set", "1")
        bench.open_gate()
        assert client.wait(number, timeout_s=60).state == "done"
        wait_until(lambda: len(client.workers()) == 1, "one worker less")
    bench.end_service()


def test_sigterm_lets_running_blocks_end_and_the_rest_follows_after_the_restart(bench, wait_until):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit(bench.gated_job())
    wait_until(lambda: len(bench.begun()) == 2, "two blocks at work")
    bench.service.terminate()
    with bench.client() as client:
        wait_until(lambda: client.service().draining, "the drain")
    bench.open_gate()
    _, err = bench.service.communicate(timeout=60)
    assert bench.service.returncode == 0, err
    assert len(bench.begun()) == 2
    bench.serve()
    with bench.client() as client:
        info = client.wait(number, timeout_s=60)
    assert (info.state, info.runs, info.skipped, info.redone) == ("done", 2, 2, 0)
    assert len(bench.begun()) == 4
    np.testing.assert_array_equal(bench.read(), voxels)
    bench.end_service()
    assert bench.leavings() == []


def test_a_second_sigterm_ends_running_blocks(bench, wait_until):
    bench.volume()
    bench.serve()
    number = bench.submit(bench.gated_job())
    wait_until(lambda: len(bench.begun()) == 2, "two blocks at work")
    children = bench.children_of(bench.service)
    bench.service.terminate()
    with bench.client() as client:
        wait_until(lambda: client.service().draining, "the drain")
    os.kill(bench.service.pid, signal.SIGTERM)
    bench.service.communicate(timeout=60)
    assert bench.service.returncode == 0
    assert not any(child.is_running() for child in children)
    bench.open_gate()
    bench.serve()
    bench.run("wait", str(number))
    bench.end_service()
    assert bench.leavings() == []
