"""Workers that never come up: every batch that waits ends with the reason."""

import numpy as np
import pytest

from blockmill import Engine, RoiRequestBatch
from blockmill.daemon.executors.local import starts
from blockmill.shared.errors import BlockmillError, EngineError

VOXELS = np.zeros((8, 8), np.uint8)

NO_THREADS = """
import threading
def start(thread): raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
TURNING = """
from blockmill.workers import loop
def run_worker(*arguments):
    print("a worker that turns", flush=True)
    while True: pass
loop.run_worker = run_worker
"""
NEVER_UP = {
    "the nursery goes round in circles": (
        "print('looking for memory', flush=True)\nwhile True: pass\n",
        r"(?s)no worker was up after .* of processor time\).*looking for memory",
    ),
    "the nursery waits": (
        "import time\nprint('waiting', flush=True)\ntime.sleep(600)\n",
        "(?s)no worker was up after .*waiting",
    ),
    "the nursery can not import": (
        "raise ImportError('failed to map segment')\n",
        r"(?s)the nursery of the workers ended \(.*ImportError: failed to map segment",
    ),
    "workers can start no thread": (
        NO_THREADS,
        "(?s)workers in a row ended before they were up.*can't start new thread",
    ),
    "workers go round in circles": (TURNING, "(?s)no worker was up after .*a worker that turns"),
}


@pytest.mark.parametrize("kind", NEVER_UP)
def test_a_start_that_leads_nowhere_ends_with_what_was_printed(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(starts, "START_PROCESSOR_S", 2.0 if "circles" in kind else 1e9)
    monkeypatch.setattr(starts, "FIRST_UP_S", 3.0 if kind == "the nursery waits" else 1e9)
    code, told = NEVER_UP[kind]
    (tmp_path / "preloaded.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with Engine(1, preload=["preloaded"]) as engine, pytest.raises(BlockmillError, match=told):
        RoiRequestBatch(VOXELS, [((0, 0), (8, 8))], operation="copy", engine=engine).execute()


def test_once_a_worker_was_up_the_limit_of_the_first_one_is_over():
    seen = starts.Starts(began_s=0.0)
    with pytest.raises(EngineError):
        seen.check_first(starts.FIRST_UP_S + 1, 0.0, "")
    seen.began_s = None
    seen.check_first(starts.FIRST_UP_S + 1, 0.0, "")
