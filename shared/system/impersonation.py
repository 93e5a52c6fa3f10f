"""Touch files as another user: what the kernel denies to that user, it denies to us for so long.

Linux keeps apart who a thread is and as whom it uses files (``setfsuid(2)``); both are of a
thread alone, as are supplementary groups where the system call is made directly. So a service
that runs the jobs of several people reads and writes the files of each as that person, and no
symbolic link, HDF5 link or description can lead it to what the person may not read.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import grp
import os
import platform
import pwd
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ..errors import Refused, StorageError

_NUMBERS = {  # of setfsuid, setfsgid, setgroups: asm/unistd.h
    "x86_64": (122, 123, 116),
    "aarch64": (151, 152, 159),
}
_UNCHANGED = -1
_PR_SET_DUMPABLE = 4
for _codec in (
    "utf-8-sig",
    "idna",
):  # Python imports them at their first use, maybe by one who may not read them
    codecs.lookup(_codec)
_libc = ctypes.CDLL(None, use_errno=True)


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """The identity under which files are used: a user, the main group, all groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def identity_of(uid: int) -> Identity:
    """The identity of a user as the machine's accounts have it.

    Raises
    ------
    Refused
        If there is no such account.
    """
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        raise Refused(f"there is no account with the number {uid} on this machine") from None
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    return Identity(uid, account.pw_gid, tuple(groups))


def may_act() -> bool:
    """Test if this process may use files as others: it has the capabilities CAP_SETUID and CAP_SETGID."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16)
    return platform.machine() in _NUMBERS and all(effective >> bit & 1 for bit in (6, 7))


@contextlib.contextmanager
def acting_as(identity: Identity | None) -> Iterator[None]:
    """Use files as `identity` in this thread, for as long as the context lasts; None: as we are.

    Raises
    ------
    StorageError
        If this process may not do that.
    """
    if identity is None:
        yield
        return
    before = Identity(_set_fsuid(_UNCHANGED), _set_fsgid(_UNCHANGED), tuple(os.getgroups()))
    try:
        _become(identity)
        yield
    finally:
        _set_fsuid(before.uid)  # first: the capabilities that the rest needs come back with it
        _set_fsgid(before.gid)
        _set_groups(before.groups)
        _stay_visible()


def _stay_visible() -> None:
    """Undo what a change of identity does to /proc: our workers open memory through our entry there."""
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _become(identity: Identity) -> None:
    _set_groups(identity.groups)
    _set_fsgid(identity.gid)
    _set_fsuid(identity.uid)
    _stay_visible()
    if (_set_fsuid(_UNCHANGED), _set_fsgid(_UNCHANGED)) != (identity.uid, identity.gid):
        raise StorageError(
            f"files can't be used as {user_name(identity.uid)}; the service needs CAP_SETUID and CAP_SETGID"
        )


def _call(which: int, *args: object) -> int:
    return _libc.syscall(_NUMBERS[platform.machine()][which], *args)


def _set_fsuid(uid: int) -> int:
    """Set it for this thread. Returns the former one; the kernel never reports a refusal."""
    return _call(0, ctypes.c_uint(uid & 0xFFFFFFFF))


def _set_fsgid(gid: int) -> int:
    return _call(1, ctypes.c_uint(gid & 0xFFFFFFFF))


def _set_groups(groups: Sequence[int]) -> None:
    """Set them for this thread alone; the C library's function would set those of all threads."""
    if _call(2, ctypes.c_size_t(len(groups)), (ctypes.c_uint * max(len(groups), 1))(*groups)) != 0:
        why = os.strerror(ctypes.get_errno())
        raise StorageError(f"the groups of a user can't be taken on ({why}); CAP_SETGID is needed")


def user_name(uid: int) -> str:
    """The name of an account, or its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def user_number(name: str) -> int:
    """The number of an account; `name` may be the number itself.

    Raises
    ------
    Refused
        If there is no such account.
    """
    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise Refused(f"there is no account {name} on this machine") from None


def group_number(name: str) -> int:
    """The number of a group.

    Raises
    ------
    Refused
        If there is no such group.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise Refused(f"there is no group {name} on this machine; make it with: groupadd {name}") from None
