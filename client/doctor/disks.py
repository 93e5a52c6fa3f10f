"""Folders where blockmill writes: space, the kind of file system, and whether locks exclude there."""

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
"""Mount options of NFS and Lustre with which a flock counts on one machine alone, or not at all."""
_LOW_BYTES, _LEAST_BYTES = 4 << 30, 256 << 20
_LOW_INODES, _LEAST_INODES = 10_000, 100
_MOST_SKEW_S = 2.0
_PATIENCE_S = 5.0


def check_folder(folder: Path, tried: set[int], *, state: bool = False) -> Iterator[Finding]:
    """All about a folder that is written to, or the nearest one above that exists.

    `tried`: devices where locks have been tried; this one is added.
    """
    there = nearest(folder)
    yield from _check_space(there)
    kind, options = file_system(there)
    if kind in _OVER_NETWORK:
        yield _remote(folder, kind, options, state)
    if not os.access(there, os.W_OK | os.X_OK):
        say = fail if state else warn
        yield say(
            "writable", f"{there} is not writable for you", "outputs and the state need a folder that is"
        )
        return
    if (device := there.stat().st_dev) not in tried:
        tried.add(device)
        yield from check_locks(there)


def nearest(path: Path) -> Path:
    """`path` if it is a folder, else the nearest one above it that is."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def file_system(folder: Path) -> tuple[str, frozenset[str]]:
    """Type and mount options of the file system on which a folder lies."""
    real = folder.resolve()
    mounts = [p for p in psutil.disk_partitions(all=True) if real.is_relative_to(p.mountpoint)]
    if not mounts:
        return "unknown", frozenset()
    found = max(enumerate(mounts), key=lambda item: (len(item[1].mountpoint), item[0]))[1]
    return found.fstype, frozenset(found.opts.split(","))


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
    say = fail if free < _LEAST_BYTES else warn
    text = f"{folder}: {format_size(free)} free"
    yield ok("disk", text) if free >= _LOW_BYTES else say("disk", text, advice)
    facts = os.statvfs(folder)
    if facts.f_files and facts.f_favail < _LOW_INODES:
        say = fail if facts.f_favail < _LEAST_INODES else warn
        text = f"{folder}: {facts.f_favail} of {facts.f_files} inodes free"
        yield say("inodes", text, "use bigger blocks (fewer files), or remove small files")


def check_locks(folder: Path) -> Iterator[Finding]:
    """Try our locks against another process: held, given back, and left by a process that was killed."""
    try:
        with tempfile.TemporaryDirectory(prefix=".blockmill-doctor-", dir=folder) as place:
            trouble = _contend(Path(place) / "probe")
            skew_s = _skew_s(Path(place))
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
    if abs(skew_s) > _MOST_SKEW_S:
        text = f"the clock of the file system at {folder} is off by {skew_s:+.0f} s"
        yield warn("clock", text, "let both machines take their time from one server (NTP)")


def _contend(path: Path) -> str:
    """Faults of locks on `path`; empty if there are none."""
    lock = FileLock(path)
    rival = subprocess.Popen(
        [sys.executable, "-m", "blockmill.client.doctor.rival", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert rival.stdin and rival.stdout
    try:
        lock.acquire(timeout_s=_PATIENCE_S)
        if _tries(rival.stdin, rival.stdout) != b"no\n":
            return "two processes had one lock at the same time"
        lock.release()
        if _tries(rival.stdin, rival.stdout) != b"yes\n":
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


def _tries(ask: IO[bytes], answer: IO[bytes]) -> bytes:
    ask.write(b"\n")
    ask.flush()
    if not (said := answer.readline()):
        raise BlockmillError("the other process of the check has ended; what it said is above")
    return said


def _skew_s(folder: Path) -> float:
    """How far the file system's clock is ahead of ours."""
    path = folder / "clock"
    path.touch()
    return path.stat().st_mtime - time.time()
