"""The engine in this process: workers that stop, freeze, or never come up."""

import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest

from blockmill import Engine, RoiRequestBatch, RoiRequestBatchError
from blockmill.daemon.executors.local import supervisor
from blockmill.shared.errors import EngineError

VOXELS = np.arange(400, dtype=np.uint16).reshape(20, 20)
ROIS = [((y, 0), (y + 5, 20)) for y in range(0, 20, 5)]


@pytest.fixture
def user_code(tmp_path, monkeypatch):
    """Modules that workers of engines made in the test can import."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_frozen_worker_is_ended_and_its_block_done_elsewhere(user_code, monkeypatch):
    monkeypatch.setattr(supervisor, "SILENCE_S", 1.5)
    (user_code / "freezes.py").write_text(
        "import os, pathlib, signal\n"
        "def once(block, mark):\n"
        "    try:\n"
        "        pathlib.Path(mark).touch(exist_ok=False)\n"
        "    except FileExistsError:\n"
        "        return block\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    return block\n"
    )
    operation = {"python": {"function": "freezes:once", "args": {"mark": str(user_code / "mark")}}}
    out = np.zeros_like(VOXELS)
    with Engine(1) as engine:
        batch = RoiRequestBatch(VOXELS, ROIS, operation=operation, engine=engine)
        batch.result_signal.subscribe(lambda roi, array: out.__setitem__(roi.to_slice(), array))
        batch.execute()
    np.testing.assert_array_equal(out, VOXELS)
    assert (user_code / "mark").exists()


@pytest.mark.parametrize("end", ["return block", "raise RuntimeError", "raise SystemExit", "os._exit(0)"])
def test_a_child_that_user_code_forks_does_not_become_a_worker(user_code, end):
    (user_code / "forks.py").write_text(
        "import os\n"
        "def in_two(block):\n"
        "    if (pid := os.fork()) == 0:\n"
        f"        {end}\n"
        "    os.waitpid(pid, 0)\n"
        "    return block\n"
    )
    out = np.zeros_like(VOXELS)
    with Engine(1) as engine:
        batch = RoiRequestBatch(
            VOXELS, ROIS, operation={"python": {"function": "forks:in_two"}}, engine=engine
        )
        batch.result_signal.subscribe(lambda roi, array: out.__setitem__(roi.to_slice(), array))
        batch.execute()
    np.testing.assert_array_equal(out, VOXELS)


def test_an_engine_that_broke_down_before_its_first_job_says_why(wait_until):
    with Engine(1, preload=("no_such_module",)) as engine:
        wait_until(lambda: not engine.alive, "the end of the engine")
        with pytest.raises(EngineError, match="No module named 'no_such_module'"):
            RoiRequestBatch(VOXELS, ROIS, engine=engine).execute()


def test_workers_that_cannot_start_end_the_job_with_their_last_words(monkeypatch):
    monkeypatch.setattr("blockmill.shared.messages.engine.VERSION", 99)
    with Engine(1) as engine, pytest.raises(RoiRequestBatchError, match=r"protocol \d+, the engine 99"):
        RoiRequestBatch(VOXELS, ROIS, engine=engine).execute()


def test_a_nursery_that_dies_ends_the_job_and_every_worker(user_code):
    (user_code / "hangs.py").write_text(
        "import time\n"
        "def after_first(block, context):\n"
        "    if context.roi.start[0]:\n"
        "        time.sleep(1000)\n"
        "    return block\n"
    )
    with Engine(1) as engine:
        batch = RoiRequestBatch(
            VOXELS, ROIS, operation={"python": {"function": "hangs:after_first"}}, engine=engine
        )
        family = []

        def kill(roi, array):
            # This process may have other children: services that tests share.
            nursery = next(p for p in psutil.Process().children() if "workers.nursery" in str(p.cmdline()))
            family.extend([nursery, *nursery.children(recursive=True)])
            nursery.kill()

        batch.result_signal.subscribe(kill)
        with pytest.raises(RoiRequestBatchError, match="nursery"):
            batch.execute()
    psutil.wait_procs(family, timeout=60)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def test_two_engines_and_several_threads_serve_at_once():
    sums = []

    def work(engine):
        batch = RoiRequestBatch(VOXELS, ROIS, engine=engine)
        batch.result_signal.subscribe(lambda roi, array: sums.append(int(array.sum())))
        batch.execute()

    with Engine(1) as first, Engine(1) as second:
        threads = [threading.Thread(target=work, args=(e,)) for e in (first, first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(sums) == 3 * int(VOXELS.sum())


FORKS_WHILE_IT_STARTS = """
import os, signal, subprocess, sys, threading
import numpy as np
from blockmill import Engine, RoiRequestBatch

start, children, forked, ended = subprocess._fork_exec, [], threading.Event(), threading.Event()

def fork():
    children.append(pid := os.fork())
    if pid == 0:
        signal.pause()  # as a worker of multiprocessing.Pool, it stays
        os._exit(0)
    forked.set()

def start_and_fork(*args):
    # At this moment the pipe on which Popen waits for its child is open.
    threading.Thread(target=fork).start()
    forked.wait(1)
    return start(*args)

subprocess._fork_exec = start_and_fork

def work():
    with Engine(1) as engine:
        RoiRequestBatch(np.ones((4, 4)), [((0, 0), (4, 4))], operation="copy", engine=engine).execute()
    ended.set()

threading.Thread(target=work, daemon=True).start()
fine = ended.wait(30) and forked.wait(30)
for pid in children:
    os.kill(pid, signal.SIGKILL)
print("fine" if fine else "the engine hangs")
"""


def test_a_fork_while_an_engine_starts_does_not_hang_it():
    program = [sys.executable, "-W", "ignore", "-c", FORKS_WHILE_IT_STARTS]
    done = subprocess.run(program, capture_output=True, text=True, timeout=90)
    assert done.stdout.strip() == "fine", done.stderr
