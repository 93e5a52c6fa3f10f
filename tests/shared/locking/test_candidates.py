"""What makers of locks leave who are killed before their file becomes the lock."""

import os
import subprocess
import sys

from blockmill.shared.locking.candidates import remove_dead_candidates
from blockmill.shared.locking.filelock import FileLock

DIES_BEFORE_THE_LINK = """
import os, sys
from blockmill.shared.locking import lockfile
from blockmill.shared.locking.filelock import FileLock
lockfile.link = lambda candidate, lock_path: os._exit(0)
FileLock(sys.argv[1], private=True).acquire()
"""


def test_those_of_dead_makers_go_and_those_of_living_ones_and_other_files_stay(tmp_path):
    subprocess.run([sys.executable, "-c", DIES_BEFORE_THE_LINK, tmp_path / "a"], check=True)
    (dead,) = tmp_path.iterdir()
    assert dead.name.startswith("a.lock-")
    others = [
        "a.lock-mine",
        "ab.lock-0123456789abcdef",
        "a.lock-0123456789abcdef",
    ]  # the last is just being made
    for name in others:
        (tmp_path / name).touch()
    os.utime(tmp_path / "a.lock-mine", (0, 0))
    with FileLock(tmp_path / "a", private=True) as lock, FileLock(tmp_path / "b") as living:
        alive = tmp_path / "a.lock-fedcba9876543210"
        os.link(living.lock_path, alive)
        remove_dead_candidates(lock.lock_path)
        assert not dead.exists()
        assert alive.exists()
        assert all((tmp_path / name).exists() for name in others)
        os.utime(tmp_path / others[2], (0, 0))  # made long ago, and never got a word
        remove_dead_candidates(lock.lock_path)
        assert not (tmp_path / others[2]).exists()


def test_a_folder_that_is_gone_is_no_error(tmp_path):
    remove_dead_candidates(str(tmp_path / "gone" / "a.lock"))
