"""Checks of folders where blockmill writes: space, type of file system, and working locks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil

from ...shared.errors import BlockmillError
from ...shared.locking.filelock import FileLock
from ...shared.units import format_size
from .finding import Finding, fail, ok, warn

_OVER_NETWORK = frozenset(
    ("afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4")
) | {
    "orangefs",
    "pvfs2",
    "smb3",
    "smbfs",
    "fuse.ceph",
    "fuse.davfs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.sshfs",
}
_ONLY_HERE = frozenset(("nolock", "local_lock=all", "local_lock=flock", "localflock", "noflock"))
"""Mount options of NFS and Lustre with which a flock excludes only processes of one machine, or none."""
_LOW_BYTES, _MIN_BYTES = 4 << 30, 256 << 20
_LOW_INODES, _MIN_INODES = 10_000, 100
_MAX_SKEW_S = 2.0
_PATIENCE_S = 5.0


def check_folder(folder: Path, devices: set[int], *, state: bool = False) -> Iterator[Finding]:
    """Check a folder that is written to, or the nearest one above it that exists.

    Parameters
    ----------
    folder : Path
    devices : set of int
        Devices (``st_dev``) whose locks have been checked; that of the folder is added.
    state : bool
        It is the service's state folder, which has stricter requirements.

    Yields
    ------
    Finding
    """
    existing = nearest_folder(folder)
    yield from _check_space(existing)
    kind, options = file_system(existing)
    if kind in _OVER_NETWORK:
        yield _remote(folder, kind, options, state)
    if not os.access(existing, os.W_OK | os.X_OK):
        severity = fail if state else warn
        yield severity(
            "writable", f"{existing} is not writable for you", "outputs and the state need a folder that is"
        )
        return
    if (device := existing.stat().st_dev) not in devices:
        devices.add(device)
        yield from check_locks(existing)


def nearest_folder(path: Path) -> Path:
    """Return `path` if it is a folder, else the nearest folder above it."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def file_system(folder: Path) -> tuple[str, frozenset[str]]:
    """Type and mount options of the file system on which a folder lies."""
    real = folder.resolve()
    mounts = [p for p in psutil.disk_partitions(all=True) if real.is_relative_to(p.mountpoint)]
    if not mounts:
        return "unknown", frozenset()
    mount = max(enumerate(mounts), key=lambda item: (len(item[1].mountpoint), item[0]))[1]
    return mount.fstype, frozenset(mount.opts.split(","))


def _remote(folder: Path, kind: str, options: frozenset[str], state: bool) -> Finding:
    text = f"{folder} is on a network ({kind})"
    if state:
        return warn("network", f"{text}; SQLite's log needs a local disk", "give a state_dir on a local disk")
    if local := options & _ONLY_HERE:
        advice = "let one machine at a time write there, or mount it without that option"
        return fail(
            "network", f"{text}, mounted with {', '.join(sorted(local))}: locks end at this machine", advice
        )
    advice = "run doctor on each machine at once if several write there; how many can't be seen from here"
    return warn("network", text, advice)


def _check_space(folder: Path) -> Iterator[Finding]:
    total, _, free = shutil.disk_usage(folder)
    if not total:
        yield warn("disk", f"{folder} is on no disk", "name a folder in which jobs can write")
        return
    advice = "make room, or choose another disk; --dry-run tells what a job takes"
    severity = fail if free < _MIN_BYTES else warn
    text = f"{folder}: {format_size(free)} free"
    yield ok("disk", text) if free >= _LOW_BYTES else severity("disk", text, advice)
    statistics = os.statvfs(folder)
    if statistics.f_files and statistics.f_favail < _LOW_INODES:
        severity = fail if statistics.f_favail < _MIN_INODES else warn
        text = f"{folder}: {statistics.f_favail} of {statistics.f_files} inodes free"
        yield severity("inodes", text, "use bigger blocks (fewer files), or remove small files")


def check_locks(folder: Path) -> Iterator[Finding]:
    """Test the locks against another process: held, released, and left by a process that was killed."""
    try:
        with tempfile.TemporaryDirectory(prefix=".blockmill-doctor-", dir=folder) as temporary:
            trouble = _contend(Path(temporary) / "probe")
            skew_s = _skew_s(Path(temporary))
    except (OSError, BlockmillError) as error:
        yield fail(
            "locks", f"{folder}: {error}", "keep outputs and the state where flock and hard links work"
        )
        return
    if trouble:
        advice = "don't let several processes write there: two may write the same block at once"
        yield fail("locks", f"{folder}: {trouble}", advice)
    else:
        yield ok("locks", f"{folder}: exclusive between processes, given back by the killed")
    if abs(skew_s) > _MAX_SKEW_S:
        text = f"the clock of the file system at {folder} is off by {skew_s:+.0f} s"
        yield warn("clock", text, "let both machines take their time from one server (NTP)")


def _contend(path: Path) -> str:
    """Compete with another process for the lock of `path`; return what is wrong, or an empty text."""
    lock = FileLock(path)
    rival = subprocess.Popen(
        [sys.executable, "-m", "blockmill.client.doctor.rival", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert rival.stdin and rival.stdout
    try:
        lock.acquire(timeout_s=_PATIENCE_S)
        if _ask_rival(rival.stdin, rival.stdout) != b"no\n":
            return "two processes had one lock at the same time"
        lock.release()
        if _ask_rival(rival.stdin, rival.stdout) != b"yes\n":
            return "another process can't get a lock that was given back"
        if lock.acquire(blocking=False):
            return "two processes had one lock at the same time"
        rival.kill()
        rival.wait()
        if not lock.acquire(blocking=False):
            return "the lock of a killed process is not given back"
        return ""
    finally:
        rival.kill()
        rival.communicate()
        if lock.locked():
            lock.release()


def _ask_rival(ask: IO[bytes], answer: IO[bytes]) -> bytes:
    ask.write(b"\n")
    ask.flush()
    if not (reply := answer.readline()):
        raise BlockmillError("the other process of the check has ended; what it said is above")
    return reply


def _skew_s(folder: Path) -> float:
    """Seconds by which the file system's clock is ahead of this machine's."""
    path = folder / "clock"
    path.touch()
    return path.stat().st_mtime - time.time()
