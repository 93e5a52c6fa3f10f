"""What a supervisor and its nursery hold open, and when they let go of it."""

import contextlib
import gc
import os
import subprocess

import pytest

from blockmill.daemon.executors.local.nursery import NurseryProcess
from blockmill.daemon.executors.local.supervisor import Supervisor


def test_a_start_that_fails_leaves_no_file_open(tmp_path, monkeypatch):
    def fails(*args, **options):
        raise BlockingIOError

    monkeypatch.setattr(subprocess, "Popen", fails)
    gc.collect()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(BlockingIOError):
        Supervisor(1, "ipc://nowhere", tmp_path)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_child_closes_no_file_that_came_later():
    nursery = NurseryProcess()
    nursery.close(0)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(os.devnull)) for _ in range(8)]
        nursery.forget_in_child()
        for file in files:
            os.fstat(file.fileno())


def test_what_is_closed_may_be_closed_again():
    nursery = NurseryProcess()
    for _ in range(2):
        nursery.close(0)
