"""Lock files as files: their facts about the owner, and safe ways to read them.

The text of ours begins with ``blockmill lock 1`` and ``key: value`` lines, up to an empty
line; a note of the caller's may follow. lazyflow's begins with ``Owning process args:``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from ..errors import LockTimeout, StorageError
from ..files.machine import boot_id, on_local_disk
from ..units import format_duration

_FIRST_LINE = "blockmill lock 1"
_LAZYFLOW_LINE = "Owning process args:"
_WHOLE_NUMBER = re.compile(r"[0-9]{1,20}")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
# A token becomes part of file names, so nothing but hex digits may pass for one.
_TOKEN = re.compile(r"[0-9a-f]{16}")
_TEXT_BYTES = 65536
_LONGEST_GARBAGE_BYTES = 4096  # a damaged lock of ours; a larger file is something else
# Nothing that lies at the path may redirect or block us: no links, no waiting for a pipe.
_OPEN_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ELOOP, errno.ENXIO}

# A forked child shares the flocks of its parent: were its copies left open, a dead parent's
# locks would look alive. Closing a copy does not drop the flock.
_descriptors: set[int] = set()


class Process(NamedTuple):
    """The facts that distinguish this process from all others."""

    host: str
    pid: int
    start_time: float
    pid_namespace: int
    boot: str


@functools.lru_cache(maxsize=1)
def _process(pid: int) -> Process:
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # no Linux: one namespace for all
        namespace = 0
    return Process(socket.gethostname() or "localhost", pid, _start_time(pid), namespace, boot_id())


def _start_time(pid: int) -> float:
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return psutil.Process(pid).create_time()
    # The name in field 2 may hold blanks and brackets: count from its last bracket.
    return float(fields.rpartition(")")[2].split()[19])


def this_process() -> Process:
    """The process that calls; cached, but never over a fork."""
    return _process(os.getpid())


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The facts in a lock file.

    Attributes
    ----------
    kind : {"ours", "lazyflow", "empty", "unknown"}
        Writer of the file. All facts but `text` and `since_s` are None if it is not ours.
    host, pid, token, pid_namespace
        The owner's; the namespace is an inode number, 0 where there are none.
    boot : str
        The boot of the owner's machine, the same in all its containers; empty if it is not known.
    start_time : float or None
        To be compared only: clock ticks since boot, without ``/proc`` seconds since 1970.
    text : str
        The whole text of the file.
    since_s : float or None
        Time of writing, seconds since 1970, by the clock of the file system.
    """

    kind: Literal["ours", "lazyflow", "empty", "unknown"]
    text: str = ""
    since_s: float | None = None
    host: str | None = None
    pid: int | None = None
    start_time: float | None = None
    token: str | None = None
    pid_namespace: int | None = None
    boot: str = ""

    @property
    def is_here(self) -> bool:
        """True if the owner is ours and on this machine.

        That is, in whatever container since it booted; before that, on a host of the same name and in
        the same pid namespace.
        """
        me = this_process()
        same_boot = bool(self.boot) and self.boot == me.boot
        same_place = (self.host, self.pid_namespace) == (me.host, me.pid_namespace)
        return self.kind == "ours" and (same_boot or same_place)

    @property
    def is_torn(self) -> bool:
        """True if the file has its size and nothing but zero bytes: a power cut left it of a lock."""
        return self.kind == "empty" and bool(self.text) and not self.text.strip("\0")

    def describe(self) -> str:
        """The holder of the lock in words, for a message."""
        age = "" if self.since_s is None else f", for {format_duration(max(time.time() - self.since_s, 0))}"
        if self.kind == "ours":
            where = "" if self.is_here else " (another host or container)"
            return f"process {self.pid} on host {self.host}{where}{age}"
        if self.kind == "lazyflow":
            command = " ".join(self.text.splitlines()[1:])[:200]
            return f"a lazyflow process that was started as {command!r}{age}"
        if self.kind == "empty":
            doubt = "a power cut or a full disk may have left it so, or its maker is about to write into it"
            return f"an unknown process (the lock file is empty{age}; {doubt})"
        return f"an unknown process (the lock file says {self.text[:80]!r}){age}"


# Stands for the owner of a lock that vanished before it could be opened.
GONE = LockHolder("unknown")


def compose(token: str, note: str | None) -> bytes:
    """The text of a lock of this process.

    Parameters
    ----------
    token : str
        16 hex digits that name this hold of the lock.
    note : str or None
        Added behind the facts.

    Returns
    -------
    bytes
    """
    me = this_process()
    facts = (
        f"{_FIRST_LINE}\nhost: {me.host}\npid: {me.pid}\nstart_time: {me.start_time:.2f}\n"
        f"token: {token}\npid_namespace: {me.pid_namespace}\nboot: {me.boot}\n\n"
    )
    return (f"{facts}{note}\n" if note else facts).encode("utf-8", "surrogateescape")


def parse(content: bytes, since_s: float | None = None) -> LockHolder:
    """The facts in the content of a lock file.

    Parameters
    ----------
    content : bytes
        Any bytes; a text of no known form gives the kind "unknown".
    since_s : float, optional
        Time of writing, seconds since 1970.

    Returns
    -------
    LockHolder
    """
    text = content.decode("utf-8", "replace")
    # A power cut can leave nothing but zero bytes.
    if not content.strip(b"\0 \t\r\n"):
        return LockHolder("empty", text, since_s)
    if text.startswith(_LAZYFLOW_LINE):
        return LockHolder("lazyflow", text, since_s)
    first, _, rest = text.partition("\n")
    facts = _facts(rest) if first == _FIRST_LINE else None
    if facts is None:
        return LockHolder("unknown", text, since_s)
    return LockHolder(
        "ours",
        text,
        since_s,
        host=facts["host"],
        pid=int(facts["pid"]),
        start_time=float(facts["start_time"]),
        token=facts["token"],
        pid_namespace=int(facts["pid_namespace"]),
        boot=facts.get("boot", ""),
    )


def _facts(text: str) -> dict[str, str] | None:
    """The ``key: value`` lines before the first empty one, None if one is missing or odd."""
    head = text.partition("\n\n")[0]
    facts = {key: value for key, _, value in (line.partition(": ") for line in head.split("\n"))}
    forms = {"pid": _WHOLE_NUMBER, "start_time": _NUMBER, "token": _TOKEN, "pid_namespace": _WHOLE_NUMBER}
    if not facts.get("host"):
        return None
    if all(form.fullmatch(facts.get(key, "")) for key, form in forms.items()):
        return facts
    return None


def open_lock_file(path: str, flags: int) -> int:
    """Open a lock file so that no child inherits it: neither over exec, nor over a plain fork.

    Parameters
    ----------
    path : str
    flags : int
        As for `os.open`.

    Returns
    -------
    int
        The descriptor; close it by `close_lock_file`.
    """
    fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
    _descriptors.add(fd)
    return fd


def close_lock_file(fd: int) -> None:
    """Close a descriptor of `open_lock_file`."""
    # Forgotten first: the number may be another file's as soon as it is closed.
    _descriptors.discard(fd)
    os.close(fd)


def _close_inherited() -> None:
    for fd in _descriptors:
        with contextlib.suppress(OSError):  # closed behind our back, as daemons do
            os.close(fd)
    _descriptors.clear()


os.register_at_fork(after_in_child=_close_inherited)


def lies_at(path: str, facts: os.stat_result) -> bool:
    """Test if `path` names one very file (inode).

    Parameters
    ----------
    path : str
    facts : os.stat_result
        Of the file.

    Returns
    -------
    bool
    """
    try:
        return os.path.samestat(os.lstat(path), facts)
    except FileNotFoundError:
        return False


class OpenedLockFile(NamedTuple):
    """A lock file that exists, open; fd is -1 if it can't be opened."""

    fd: int
    writable: bool
    holder: LockHolder

    def close(self) -> None:
        """Close the file, which releases a flock on it."""
        if self.fd >= 0:
            close_lock_file(self.fd)


def open_existing(lock_path: str) -> OpenedLockFile | None:
    """Open and read the file at `lock_path`, of whatever kind. Returns None if there is none."""
    for access in (os.O_RDWR, os.O_RDONLY):
        try:
            fd = open_lock_file(lock_path, access | _OPEN_FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise StorageError(f"cannot look into the lock {lock_path}: {error.strerror}") from error
            continue
        try:
            return OpenedLockFile(fd, access == os.O_RDWR, read_holder(fd))
        except BaseException as error:
            close_lock_file(fd)
            if isinstance(error, OSError) and error.errno == errno.ESTALE:
                return None  # removed by another NFS client while we opened it
            raise
    return OpenedLockFile(-1, False, LockHolder("unknown"))


def left_behind(lock_file: OpenedLockFile, private: bool) -> bool:
    """Test if nobody can hold a lock but by the flock on its file, so that the flock decides.

    Parameters
    ----------
    lock_file : OpenedLockFile
    private : bool
        Nobody but blockmill makes this lock, so that no text, or half of one, is no other program's.

    Returns
    -------
    bool
    """
    holder = lock_file.holder
    if holder.is_here or lock_file.fd < 0:
        return holder.is_here
    # Elsewhere the text may lie in the memory of another machine, which lives.
    if holder.is_torn and on_local_disk(lock_file.fd):
        return True
    if not private or holder.kind not in ("empty", "unknown"):
        return False
    facts = os.fstat(lock_file.fd)
    return stat.S_ISREG(facts.st_mode) and facts.st_size <= _LONGEST_GARBAGE_BYTES


def read_holder(fd: int) -> LockHolder:
    """The facts in an open lock file."""
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        return LockHolder("unknown", since_s=facts.st_mtime)
    return parse(os.pread(fd, _TEXT_BYTES, 0), facts.st_mtime)


def link(candidate: str, lock_path: str) -> None:
    """Give a candidate the name of the lock as well.

    Parameters
    ----------
    candidate, lock_path : str
        The existing and the new name.

    Raises
    ------
    FileExistsError
        If the new name is taken.
    """
    try:
        os.link(candidate, lock_path)
    except FileExistsError:
        # NFS can lose the answer to a link that succeeded; the second name proves it.
        if os.lstat(candidate).st_nlink != 2:
            raise


def file_error(lock_path: str, error: OSError) -> StorageError:
    """The error for a lock file that could not be made or removed.

    Parameters
    ----------
    lock_path : str
    error : OSError

    Returns
    -------
    StorageError
    """
    directory = os.path.dirname(lock_path)
    if isinstance(error, FileNotFoundError):
        return StorageError(f"cannot make the lock {lock_path}: make its directory {directory} first")
    if isinstance(error, PermissionError):
        return StorageError(
            f"cannot make or remove the lock {lock_path}: no permission to make and remove files "
            f"and hard links in {directory}"
        )
    return StorageError(f"cannot make or remove the lock {lock_path}: {error.strerror}")


def timeout_error(lock_path: str, limit_s: float, rival: LockHolder) -> LockTimeout:
    """The error of a waiter that gave up.

    Parameters
    ----------
    lock_path : str
    limit_s : float
        Length of the wait in seconds.
    rival : LockHolder
        The holder of the lock.

    Returns
    -------
    LockTimeout
    """
    who = "processes that took turns" if rival is GONE else rival.describe()
    return LockTimeout(
        f"{lock_path} was still held after {limit_s:g} s, by {who}; wait for it to end, or, if you "
        "are sure that it is dead, purge the lock (FileLock.purge removes the file)"
    )
