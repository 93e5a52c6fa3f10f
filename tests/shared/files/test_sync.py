import ctypes
import errno
import os

import pytest

from blockmill.shared.errors import StorageError
from blockmill.shared.files import sync
from blockmill.shared.files.sync import sync_filesystem


class Libc:
    """Fails as the system would, and notes what it was asked about."""

    def __init__(self, code):
        self.code = code
        self.asked = []

    def syncfs(self, descriptor):
        self.asked.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        ctypes.set_errno(self.code)
        return -1 if self.code else 0


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_file_system_of_a_file_or_a_folder_is_synced(tmp_path, kind):
    path = tmp_path
    if kind == "file":
        path = tmp_path / "f"
        path.write_bytes(b"x" * 100_000)
    before = descriptors()
    sync_filesystem(path)
    sync_filesystem(str(path))
    assert descriptors() == before


def test_it_is_the_file_system_of_the_path_that_is_asked_for(tmp_path, monkeypatch):
    libc = Libc(0)
    monkeypatch.setattr(sync, "_libc", libc)
    sync_filesystem(tmp_path)
    assert libc.asked == [str(tmp_path)]


def test_a_path_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match=rf"{tmp_path}/none: No such file"):
        sync_filesystem(tmp_path / "none")


def test_a_medium_that_refuses_is_told_with_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(sync, "_libc", Libc(errno.EIO))
    before = descriptors()
    with pytest.raises(StorageError, match=rf"file system of {tmp_path}: Input/output error"):
        sync_filesystem(tmp_path)
    assert descriptors() == before


def test_a_kernel_without_the_call_syncs_everything(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(sync, "_libc", Libc(errno.ENOSYS))
    monkeypatch.setattr(os, "sync", lambda: synced.append(True))
    sync_filesystem(tmp_path)
    assert synced == [True]
