"""A lock between processes on any path, by the existence of ``<path>.lock``.

Programs that know nothing but the existence of the file (lazyflow's) and ours exclude each
other. Ours do more: the lock file names its owner, who keeps a flock on it for as long as it
lives. So a lock without a flock is a dead owner's and is taken over at once.

- *Create*: a candidate file ``<path>.lock-<token>`` gets its flock, then its text, then by
  link its place. Nobody ever sees a lock of ours without its text or its flock; after a power
  cut it is whole, or has nothing but zero bytes.
- *Take over*: whoever gets the flock of a dead owner's file, and then still finds that very
  file in its place, is the only one who may touch it, and writes its own text into it. The
  file is not replaced: a lock that somebody made after a purge can't be hit.
- *Wait*: by polling. A wait inside flock would wake up sooner, but neither after a purge nor
  at a time-out.
"""

from __future__ import annotations

import errno
import math
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from types import EllipsisType
from typing import NamedTuple

from ..errors import BlockmillError, LockLost
from ..files.atomic import remove_if_there
from ..files.machine import on_local_disk
from ..files.places import absolute
from . import lockfile
from .flock import try_flock
from .lockfile import LockHolder, OpenedLockFile

_SHORTEST_WAIT_S, _LONGEST_WAIT_S, _BACK_OFF = 0.001, 0.020, 1.5


def stale(lock_path: str | os.PathLike[str], *, private: bool = False) -> bool:
    """Test if the file at `lock_path` is a lock, or a candidate, of a dead process of ours.

    Only processes of this machine can be tested. An empty candidate can't be: its
    maker was killed before it wrote a word. Remove a stale lock by acquiring and releasing
    it; only a stale candidate may be unlinked. During this test, a dead lock seems alive.

    Parameters
    ----------
    lock_path : path
    private : bool
        As for `FileLock`.

    Returns
    -------
    bool
    """
    path = os.fspath(lock_path)
    lock_file = lockfile.open_existing(path)
    if lock_file is None:
        return False
    try:
        return _seize(lock_file, path, private)
    finally:
        lock_file.close()


def _seize(lock_file: OpenedLockFile, lock_path: str, private: bool) -> bool:
    """Take the flock of a dead owner's file.

    Parameters
    ----------
    lock_file : OpenedLockFile
    lock_path : str
    private : bool
        As for `FileLock`.

    Returns
    -------
    bool
        True if the owner was ours and is dead; its flock is now ours.
    """
    if not lockfile.left_behind(lock_file, private) or not try_flock(lock_file.fd, lock_path):
        return False
    return lockfile.lies_at(lock_path, os.fstat(lock_file.fd))


class _Hold(NamedTuple):
    fd: int
    facts: os.stat_result
    pid: int
    token: str
    thread: threading.Thread


class FileLock:
    """An exclusive lock on `protected_path` between processes, and between threads.

    It is not re-entrant. Threads may share an instance: one that does not hold the lock waits for the one
    that does. A forked child does not own what its parent locked. Waiters are not served in order.

    Parameters
    ----------
    protected_path : path
        It need not exist, but its directory must. The lock file is ``<protected_path>.lock``.
    timeout_s : float, optional
        Longest wait of `acquire` in seconds, unless it gets another one. None waits for ever.
    contents : str, optional
        A note that is added to the text of the lock file.
    lock_path : path, optional
        The lock file, if it is not to be ``<protected_path>.lock``.
    private : bool
        True if nobody but blockmill makes this lock file. Then one without a flock is a leftover even if
        it is empty or garbage; and it is on the medium before it has its name, so that a power cut
        leaves none of these.

    Attributes
    ----------
    protected_path, lock_path : str
        Both absolute.
    took_over : LockHolder or None
        The dead owner whose lock the last `acquire` took over; it may have left partial files.
    """

    _hold: _Hold | None = None

    def __init__(
        self,
        protected_path: str | os.PathLike[str],
        timeout_s: float | None = None,
        contents: str | None = None,
        *,
        lock_path: str | os.PathLike[str] | None = None,
        private: bool = False,
    ) -> None:
        self.protected_path = absolute(protected_path)
        self.lock_path = absolute(lock_path) if lock_path is not None else f"{self.protected_path}.lock"
        self.timeout_s = timeout_s
        self.contents = contents
        self.private = private
        self.took_over: LockHolder | None = None

    def acquire(self, blocking: bool = True, timeout_s: float | EllipsisType | None = ...) -> bool:
        """Take the lock; wait for it if need be.

        Parameters
        ----------
        blocking : bool
            False tries once and never raises LockTimeout.
        timeout_s : float or None, optional
            Longest wait in seconds; 0 tries once, None waits for ever. Default: that of the instance.

        Returns
        -------
        bool
            True if the lock is ours; False only without `blocking`, if another holds it.

        Raises
        ------
        LockTimeout
            If the lock was held all the time; the message names the owner.
        StorageError
            If the lock file can't be made: no such directory, no permission, a full disk.
        BlockmillError
            If this thread holds the lock already, by this instance.
        """
        if self.locked() and self._holds_by(threading.current_thread()):
            raise BlockmillError(
                f"this FileLock already holds {self.lock_path} and is not re-entrant; "
                "release it first, or use another instance"
            )
        limit_s = self._limit_s(timeout_s)
        start_s, pause_s, last = time.monotonic(), _SHORTEST_WAIT_S, ""
        while (rival := self._attempt()) is not None:
            if not blocking:
                return False
            left_s = start_s + limit_s - time.monotonic()
            if left_s <= 0:
                raise lockfile.timeout_error(self.lock_path, limit_s, rival)
            # A new owner means that the lock goes from hand to hand: be quick again.
            pause_s = _SHORTEST_WAIT_S if rival.token != last else min(pause_s * _BACK_OFF, _LONGEST_WAIT_S)
            last = rival.token
            time.sleep(min(pause_s * random.uniform(0.7, 1.0), left_s))  # noqa: S311 - no secret
        return True

    def _limit_s(self, timeout_s: float | EllipsisType | None) -> float:
        chosen = self.timeout_s if isinstance(timeout_s, EllipsisType) else timeout_s
        if chosen is not None and not chosen >= 0:
            raise ValueError(f"timeout_s is {chosen}; give seconds from 0 on, or None to wait for ever")
        return math.inf if chosen is None else chosen

    def _attempt(self) -> LockHolder | None:
        """Try once. Returns None if the lock is ours now, else the holder that is in the way."""
        # Waiters look before they write: a candidate per poll would cost a file each time.
        if not os.path.lexists(self.lock_path) and self._create(lockfile.link):
            return None
        lock_file = lockfile.open_existing(self.lock_path)
        if lock_file is None:
            return lockfile.GONE
        adopted = False
        try:
            if not _seize(lock_file, self.lock_path, self.private):
                return lock_file.holder
            dead = lockfile.read_holder(lock_file.fd)  # again: an earlier taker may have died since
            if lock_file.writable:
                self._adopt(lock_file.fd, dead)
                adopted = True
            # Another user's file. To replace it leaves a gap, microseconds wide, in which a
            # purge and a new lock would be overlooked; `still_ours` warns its owner.
            elif not self._create(os.replace):
                return dead
            self.took_over = dead
            return None
        finally:
            if not adopted:
                lock_file.close()

    def _create(self, publish: Callable[[str, str], None]) -> bool:
        """Make a candidate and `publish` it as the lock. Returns False if there is a lock already."""
        token = os.urandom(8).hex()
        candidate = f"{self.lock_path}-{token}"
        try:
            fd = lockfile.open_lock_file(candidate, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise lockfile.file_error(self.lock_path, error) from error
        hold = None
        try:
            if try_flock(fd, self.lock_path):
                self._write(fd, lockfile.compose(token, self.contents))
                publish(candidate, self.lock_path)
                self.took_over = None
                self._hold = hold = _Hold(fd, os.fstat(fd), os.getpid(), token, threading.current_thread())
        except FileExistsError:
            return False
        except OSError as error:
            raise lockfile.file_error(self.lock_path, error) from error
        finally:
            if hold is None:
                lockfile.close_lock_file(fd)  # whatever happened: without a flock, nobody waits for it
            remove_if_there(candidate)
        return hold is not None

    def _write(self, fd: int, text: bytes) -> None:
        """Write the text of a candidate, so that what a power cut leaves of the lock can be told as ours."""
        # The size goes to the medium with the name, long before the text, and costs nothing: zero
        # bytes remain, as no other program leaves them. An empty file could be anybody's.
        os.ftruncate(fd, len(text))
        os.write(fd, text)
        if self.private or not on_local_disk(fd):  # other machines see zero bytes until it is synced
            os.fdatasync(fd)

    def _adopt(self, fd: int, dead: LockHolder) -> None:
        """Make a dead owner's file ours; we have its flock."""
        token = os.urandom(8).hex()
        facts = os.fstat(fd)
        if facts.st_nlink > 1 and dead.token is not None:
            remove_if_there(f"{self.lock_path}-{dead.token}")  # it died before it could do so
        # One write, never shorter than what is there: killed in between, it is one of both.
        os.pwrite(fd, lockfile.compose(token, self.contents).ljust(facts.st_size, b"\n"), 0)
        self._hold = _Hold(fd, facts, os.getpid(), token, threading.current_thread())

    def release(self) -> None:
        """Release the lock.

        Raises
        ------
        LockLost
            If the lock file is gone or another's (somebody purged ours); it is not touched.
            Not raised while an exception is being handled, which it would only hide.
        BlockmillError
            If this instance, in this process, does not hold the lock.
        """
        self._release(quiet=sys.exc_info()[1] is not None)

    def _release(self, quiet: bool) -> None:
        if not self.locked():
            whose = f"; process {self._hold.pid}, which forked this one, does" if self._hold else ""
            raise BlockmillError(f"cannot release {self.lock_path}: this FileLock does not hold it{whose}")
        if not self._give_up() and not quiet:
            raise LockLost(
                f"{self.lock_path} was removed by somebody else while we held it; what was written to "
                f"{self.protected_path} meanwhile may have met another writer: check it, or write it again"
            )

    def _give_up(self) -> bool:
        """Remove the lock file if it is ours, and release the flock in any case."""
        hold, self._hold = self._hold, None
        if hold is None:
            return False
        try:
            return lockfile.lies_at(self.lock_path, hold.facts) and remove_if_there(self.lock_path)
        except OSError as error:
            raise lockfile.file_error(self.lock_path, error) from error
        finally:
            lockfile.close_lock_file(hold.fd)

    def release_as(self, path: str, note: bytes) -> bool:
        """Release the lock by renaming its file to `path`, with `note` behind its text, in one step.

        Parameters
        ----------
        path : str
            On the same file system as the lock file; a file there is replaced.
        note : bytes
            Appended to the text of the lock file.

        Returns
        -------
        bool
            False if the lock was taken over from a dead owner, whose file may have another form:
            then nothing was done, and the lock is still held.

        Raises
        ------
        LockLost
            If the lock file is gone or another's; nothing was done, and it counts as held.
        StorageError
            If the system refuses; the lock is still held.
        """
        hold = self._hold
        if hold is None or not self.locked() or self.took_over is not None:
            return False
        if not self.still_ours():
            raise LockLost(f"{self.lock_path} was removed by somebody else while we held it")
        try:
            if os.pwrite(hold.fd, note, hold.facts.st_size) != len(note):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.replace(self.lock_path, path)  # noqa: PTH105 - a Path costs more than the system call
        except OSError as error:
            raise lockfile.file_error(self.lock_path, error) from error
        if self._hold is hold:  # else another thread has it by this instance already
            self._hold = None
        lockfile.close_lock_file(hold.fd)
        return True

    def _holds_by(self, thread: threading.Thread) -> bool:
        hold = self._hold
        return hold is not None and hold.thread is thread

    def locked(self) -> bool:
        """Test if this instance, in this process, holds the lock (see also `still_ours`)."""
        return self._hold is not None and self._hold.pid == os.getpid()

    @property
    def token(self) -> str | None:
        """16 random hex digits that name this hold of the lock, or None while it is not held."""
        return self._hold.token if self._hold is not None and self.locked() else None

    def still_ours(self) -> bool:
        """Test if we hold the lock and its file is the very one that we made.

        False after a purge by somebody else. Call it right before a rename makes data visible.
        """
        hold = self._hold
        return hold is not None and self.locked() and lockfile.lies_at(self.lock_path, hold.facts)

    def available(self) -> bool:
        """Test if nobody holds the lock: no lock file, or that of a dead process of ours."""
        return not os.path.lexists(self.lock_path) or stale(self.lock_path, private=self.private)

    def holder(self) -> LockHolder | None:
        """The owner according to the lock file, alive or dead, or None if there is no lock."""
        lock_file = lockfile.open_existing(self.lock_path)
        if lock_file is None:
            return None
        lock_file.close()
        return lock_file.holder

    def purge(self) -> bool:
        """Remove the lock file, whoever owns it. Returns False if there was none.

        Only for an owner that is surely dead: a living one loses its lock, and gets LockLost at its release.
        """
        try:
            return remove_if_there(self.lock_path)
        except OSError as error:
            raise lockfile.file_error(self.lock_path, error) from error

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Not held here: a forked child leaves the block, or the block itself has released it.
        if self.locked():
            self._release(quiet=kind is not None)

    def __del__(self) -> None:
        if self.locked():
            self._give_up()
