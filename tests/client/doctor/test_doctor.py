"""What the checks find where something is wrong."""

import os
import shutil
import socket
from collections import namedtuple

import psutil
import pytest

from blockmill.client.doctor import disks, examine, machine, site, versions
from blockmill.shared.config.model import Config
from blockmill.shared.errors import StorageError


def levels(findings, check=None):
    return [finding.level for finding in findings if check in (None, finding.check)]


@pytest.mark.parametrize(
    "version, bad",
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_the_bug_of_sqlites_log_is_known_by_version(version, bad):
    assert versions.has_wal_bug(version) is bad
    assert ("WAL-reset" in versions.check_sqlite(version).text) is bad


def test_a_library_that_can_not_be_loaded_is_told(monkeypatch):
    def broken(name):
        raise ImportError("libhdf5.so.310: cannot open shared object file")

    monkeypatch.setattr(versions.importlib, "import_module", lambda n: broken(n) if "h5py" in n else real(n))
    real = __import__
    findings = {finding.check: finding for finding in versions.check_versions()}
    assert findings["h5py"].level == "fail" and "libhdf5.so" in findings["h5py"].text


def test_locks_are_tried_against_another_process(tmp_path):
    assert levels(disks.check_locks(tmp_path)) == ["ok"]
    assert not list(tmp_path.iterdir())


def test_locks_are_tried_once_a_device(tmp_path):
    tried = set()
    assert levels(disks.check_folder(tmp_path, tried), "locks") == ["ok"]
    assert levels(disks.check_folder(tmp_path, tried), "locks") == []


def test_locks_that_do_not_exclude_are_found(tmp_path, monkeypatch):
    class NoLock:
        def __init__(self, path):
            pass

        def acquire(self, **options):
            return True

        def release(self):
            pass

        def locked(self):
            return False

    monkeypatch.setattr(disks, "FileLock", NoLock)
    (finding,) = disks.check_locks(tmp_path)
    assert finding.level == "fail" and "two processes had one lock" in finding.text


def test_a_file_system_without_flock_is_found(tmp_path, monkeypatch):
    def refuses(self, **options):
        raise StorageError("the file system refuses flock")

    monkeypatch.setattr(disks.FileLock, "acquire", refuses)
    (finding,) = disks.check_locks(tmp_path)
    assert finding.level == "fail" and "refuses flock" in finding.text


def test_another_clock_of_the_file_system_is_found(tmp_path, monkeypatch):
    real = disks.time.time
    monkeypatch.setattr(disks.time, "time", lambda: real() - 100)
    assert levels(disks.check_locks(tmp_path), "clock") == ["warn"]


@pytest.mark.parametrize(
    "kind, options, state, level",
    [
        ("nfs4", "rw,vers=4.2", False, ["warn"]),
        ("nfs", "rw,local_lock=all", False, ["fail"]),
        ("lustre", "rw,localflock", False, ["fail"]),
        ("nfs4", "rw", True, ["warn"]),
        ("ext4", "rw", True, []),
    ],
)
def test_what_locks_are_worth_on_a_network_depends_on_the_mount(
    tmp_path, monkeypatch, kind, options, state, level
):
    mount = namedtuple("Mount", "mountpoint fstype opts")
    mounts = [mount("/", "ext4", "rw"), mount(str(tmp_path), kind, options)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **options: mounts)
    below = tmp_path / "below"
    below.mkdir()
    assert levels(disks.check_folder(below, set(), state=state), "network") == level


def test_a_full_disk_is_found_before_it_is_written_to(tmp_path, monkeypatch):
    usage = namedtuple("Usage", "total used free")
    for free, level in ((1 << 20, "fail"), (1 << 30, "warn"), (1 << 40, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage(1 << 41, 0, free))
        assert levels(disks.check_folder(tmp_path, set()), "disk") == [level]


def test_limits_of_this_account_are_found(monkeypatch):
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: (300, 300))
    found = [finding.text for finding in machine.check_machine(Config()) if finding.level == "warn"]
    assert any("open files: 300" in text for text in found)
    assert any("address space" in text for text in found)


def test_hdf5_without_locks_is_told(monkeypatch):
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    assert levels(machine.check_machine(Config()), "environment") == ["warn"]


def test_compute_threads_that_reach_the_workers_are_told(monkeypatch):
    for name in ("HDF5_USE_FILE_LOCKING", *machine.COMPUTE_THREADS):
        monkeypatch.delenv(name, raising=False)
    for value, expected in (("1", []), ("4", ["warn"])):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert levels(machine.check_machine(Config()), "environment") == expected


def test_a_folder_of_the_socket_where_everybody_writes_is_found(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    assert levels(site.check_socket(folder / "s")) == ["fail"]
    folder.chmod(0o700)
    assert levels(site.check_socket(folder / "s")) == ["ok"]
    (folder / "s").touch()
    assert levels(site.check_socket(folder / "s")) == ["fail"]


def test_a_socket_whose_service_died_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind("s")
    (_, finding) = site.check_service(os.path.relpath(tmp_path / "s"))
    assert finding.level == "warn" and "Connection refused" in finding.text


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(monkeypatch):
    def breaks(config):
        raise PermissionError(13, "Permission denied", "/proc/meminfo")
        yield

    monkeypatch.setattr(examine, "check_machine", breaks)
    findings = examine.examine([], None)
    assert levels(findings, "machine") == ["fail"]
    assert levels(findings, "systemd")
