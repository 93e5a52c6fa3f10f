"""A lock of a process that was killed in another container of this machine, under another host name."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from blockmill.shared.locking.filelock import FileLock

HOLD = """if True:
    import socket, sys, time
    socket.sethostname("other-name")
    from blockmill import FileLock
    lock = FileLock(sys.argv[1], lock_path=sys.argv[2] or None)
    lock.acquire()
    print("held", flush=True)
    time.sleep(600)
"""
CONTAINER = ["unshare", "--pid", "--uts", "--fork", "--kill-child"]


@pytest.fixture
def dead_lock():
    """A function that leaves a lock as a process killed in another container leaves it."""
    if not shutil.which("unshare") or subprocess.run([*CONTAINER, "true"], capture_output=True).returncode:
        pytest.skip("no containers can be made here: that takes unshare, and root")

    def leave(protected, lock_path=""):
        program = [*CONTAINER, sys.executable, "-c", HOLD, str(protected), str(lock_path)]
        holder = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        lock = FileLock(protected, lock_path=lock_path or None)
        found = lock.holder()
        assert found is not None and (found.host, found.pid) == ("other-name", 1) and found.is_here
        assert not lock.acquire(blocking=False)
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        while not lock.available():
            pass  # its process ends with it, a moment later
        assert os.path.lexists(lock.lock_path)

    return leave


def test_it_is_taken_over_at_once(dead_lock, tmp_path):
    dead_lock(tmp_path / "block.h5")
    lock = FileLock(tmp_path / "block.h5")
    assert lock.acquire(blocking=False)
    assert lock.took_over is not None and lock.took_over.host == "other-name"
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_run_and_a_service_do_not_wait_for_it(dead_lock, bench):
    voxels = bench.volume()
    (bench.folder / ".out.npy.blockmill").mkdir()
    dead_lock(bench.folder / "out.npy", bench.folder / ".out.npy.blockmill" / "lock")
    dead_lock(bench.folder / "out.npy.job")
    bench.run("run", bench.job(input="in.npy", output="out.npy", operation="copy"))
    np.testing.assert_array_equal(bench.read("out.npy"), voxels)
    (bench.folder / "state" / "blockmill").mkdir(parents=True)
    dead_lock(bench.folder / "state" / "blockmill" / "service")
    bench.serve(workers=1)
    bench.end_service()
