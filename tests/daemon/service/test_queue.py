"""Jobs from their submission to their end, in a queue whose engine has no processes."""

import contextlib
import os
import threading
import time
import uuid

import numpy as np
import pytest

from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.engine.mailbox import Mailbox
from blockmill.daemon.executors.inline import InlineExecutor
from blockmill.daemon.executors.scripted import Script, ScriptedServer
from blockmill.daemon.service.queue import JobQueue
from blockmill.daemon.service.settings import Settings
from blockmill.shared.errors import Refused
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.messages.service import RetryJob, SubmitJob
from blockmill.shared.version import Installation
from blockmill.shared.volumes.registry import open_volume
from blockmill.workers.jobs import WorkerJobs

UID = os.getuid()
LIMIT_S = 30


class Bench:
    """A queue, driven as the service drives it."""

    def __init__(self, folder):
        self.folder = folder
        self.script = Script()
        np.save(folder / "in.npy", np.arange(6 * 8 * 8, dtype=np.uint16).reshape(6, 8, 8))
        (folder / "state").mkdir()
        self.open()

    def open(self):
        self.mailbox = Mailbox()
        settings = Settings(socket=self.folder / "socket", state_dir=self.folder / "state")
        self.queue = JobQueue(settings, self.mailbox, self.engine)

    def engine(self, *args, **kwargs):
        return Engine(executor=InlineExecutor(lambda: ScriptedServer(WorkerJobs(), self.script), 2))

    def restart(self):
        self.queue.close()
        self.mailbox.shut()
        self.open()

    def submit(self, output="out.npy", after=(), **keys):
        job = {
            "name": "job",
            "input": str(self.folder / "in.npy"),
            "output": str(self.folder / output) if isinstance(output, str) else output,
            "operation": "copy",
            "block_shape": [1, 8, 8],
            **keys,
        }
        number = self.queue.submit(SubmitJob(job=job, token=str(uuid.uuid4()), after=after), UID).info.id
        self.queue.save().result(LIMIT_S)
        self.queue.accept(number)
        return number

    def state(self, number):
        return self.queue.table.get(number).info.state

    def turn(self):
        for command in self.mailbox.wait(0.02):
            self.queue.handle_news(*command)
        self.queue.turn()

    def until(self, number, *states):
        deadline_s = time.monotonic() + LIMIT_S
        while self.state(number) not in states:
            assert time.monotonic() < deadline_s, self.queue.table.get(number).info
            self.turn()


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.queue.close()
    bench.mailbox.shut()


def test_a_job_is_queued_runs_and_is_done(bench):
    number = bench.submit()
    assert bench.state(number) == "queued"
    bench.until(number, "done")
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), np.load(bench.folder / "in.npy"))
    assert bench.queue.table.get(number).info.done == 6


def test_a_job_whose_block_fails_tells_which_and_can_be_tried_again(bench):
    bench.script = Script(fails=[(4, attempt) for attempt in (1, 2, 3)])
    bench.restart()
    number = bench.submit(retries=2, on_error="finish")
    bench.until(number, "done_with_failures")
    assert "the script says so" in bench.queue.table.get(number).info.reason
    bench.script = Script()
    bench.restart()
    bench.queue.retry(RetryJob(id=number, failed_only=True))
    bench.queue.save().result(LIMIT_S)
    bench.queue.accept(number)
    bench.until(number, "done")
    *compared, done = bench.script.tasks
    assert done == (4, 1)
    assert sorted(compared) == [(0, 1), (1, 1), (2, 1), (3, 1), (5, 1)], "with the ledger"


def test_a_job_goes_on_after_the_service_was_closed_in_the_middle(bench):
    gate = threading.Event()
    begun = threading.Event()

    def hold(task):
        if task.block == 3:
            begun.set()
            assert gate.wait(LIMIT_S)

    bench.script = Script(before=hold)
    bench.restart()
    address = str(bench.folder / "out.json")
    number = bench.submit({"address": address, "block_shape": [1, 8, 8]})
    deadline_s = time.monotonic() + LIMIT_S
    while not begun.is_set():
        assert time.monotonic() < deadline_s
        bench.turn()
    threading.Timer(0.2, gate.set).start()
    bench.script = Script()
    bench.restart()
    bench.until(number, "done")
    assert bench.queue.table.get(number).info.skipped >= 3  # those that were written before block 3 was held
    with contextlib.closing(open_volume(address)) as volume:
        voxels = volume.read(Roi.from_shape(volume.shape))
    np.testing.assert_array_equal(voxels, np.load(bench.folder / "in.npy"))


def test_no_job_starts_once_the_files_of_blockmill_were_replaced(bench, tmp_path, caplog):
    """Workers would load what is there now; the next service, which is of that version, starts them."""
    file = tmp_path / "version"
    file.write_text("1")
    bench.queue.installation = Installation(file)
    file.write_text("2")
    first = bench.submit("a.npy")
    then = bench.submit("b.npy", after=(first,))
    for _ in range(3):
        bench.turn()
    infos = {number: bench.queue.table.get(number).info for number in (first, then)}
    assert [infos[number].state for number in (first, then)] == ["queued", "queued"]
    assert "were replaced while its service runs" in infos[first].reason
    assert infos[then].reason == f"waits for job {first}"
    assert len([line for line in caplog.messages if "no job is started" in line]) == 1
    bench.restart()
    assert bench.queue.table.get(first).info.reason == ""
    bench.until(then, "done")
    assert bench.state(first) == "done"


def test_a_paused_job_waits_and_a_cancelled_one_never_starts(bench):
    bench.queue.pause(None, True, "somebody")
    first, second = bench.submit("a.npy"), bench.submit("b.npy")
    for _ in range(5):
        bench.turn()
    assert [bench.state(first), bench.state(second)] == ["queued", "queued"]
    bench.queue.cancel(first)
    bench.queue.pause(None, False, "somebody")
    bench.until(second, "done")
    bench.until(first, "cancelled")
    assert not (bench.folder / "a.npy").exists()


def test_two_jobs_never_write_one_output_at_a_time(bench):
    bench.queue.pause(None, True, "somebody")
    bench.submit("a.npy", name="one")
    with pytest.raises(Refused, match=r"a\.npy"):
        bench.submit("a.npy", name="two")


def test_a_job_waits_for_the_one_it_comes_after(bench):
    order = []
    bench.script = Script(before=lambda task: order.append(task.job))
    bench.restart()
    bench.queue.pause(None, True, "somebody")
    first = bench.submit("a.npy", name="first")
    second = bench.submit("b.npy", name="second", after=(first,), input=str(bench.folder / "a.npy"))
    bench.queue.pause(None, False, "somebody")
    bench.until(second, "done")
    assert bench.state(first) == "done"
    assert len(set(order[:6])) == 1 and len(set(order[6:])) == 1
    np.testing.assert_array_equal(np.load(bench.folder / "b.npy"), np.load(bench.folder / "in.npy"))


def test_an_engine_that_breaks_down_is_replaced_and_the_job_goes_on(bench):
    class Broken(Exception):
        pass

    def break_once(task):
        if task.block == 2 and not broken:
            broken.append(True)
            raise Broken("out of order")

    broken = []
    bench.script = Script(before=break_once)
    bench.restart()
    number = bench.submit()
    bench.until(number, "done")
    assert broken and bench.queue.table.get(number).info.runs == 2
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), np.load(bench.folder / "in.npy"))
