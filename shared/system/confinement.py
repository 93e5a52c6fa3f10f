"""Threads that reach files below some folders alone, wherever links lead and whenever they are changed.

A check of a path holds for the moment of the check: a link in it may be another one when the file is
opened, and libraries such as HDF5 open further files by themselves. So the kernel does it: Landlock
(``landlock(7)``, Linux 5.19 and later) looks at what is really opened. It binds one thread for as long as
that lives. Beside its folders a confined thread may read what programs need: the system's folders and
Python's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from ..errors import StorageError

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures
_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_LEAST_ABI = 2  # the first one in which files may be renamed from one folder to another

_WRITE_FILE, _READ_FILE, _READ_FOLDER, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_CHANGES = sum(1 << bit for bit in range(4, 14))  # removing, making and moving of all kinds
_READ = _READ_FILE | _READ_FOLDER
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE

_READABLE = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc", "/proc", "/sys", "/run/systemd/resolve"),
    *(sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(__file__).parents[2])),
)
_libc = ctypes.CDLL(None, use_errno=True)


class Confinement(msgspec.Struct, frozen=True):
    """What a job may reach, whoever its owner is.

    Attributes
    ----------
    data : tuple of str or None
        Folders below which its inputs and outputs must lie, without links; None: anywhere.
    code : tuple of str or None
        Folders below which the user's function must be defined, without links; None: anywhere.
    """

    data: tuple[str, ...] | None = None
    code: tuple[str, ...] | None = None


@cache
def can_confine() -> bool:
    """Test if this kernel can confine threads."""
    return _abi() >= _LEAST_ABI


def confine_thread(confinement: Confinement) -> bool:
    """Confine this thread, and those that it starts from now on, for good.

    Parameters
    ----------
    confinement : Confinement

    Returns
    -------
    bool
        True if it is confined; False if it need not be, or this kernel can't.

    Raises
    ------
    StorageError
        If the kernel refuses, though it can.
    """
    if confinement.data is None or not can_confine():
        return False
    all_rights = _READ | _WRITE_FILE | _CHANGES | (_TRUNCATE if _abi() > _LEAST_ABI else 0)
    rules = _checked(_libc.syscall(_CREATE_RULESET, struct.pack("=Q", all_rights), ctypes.c_size_t(8), 0))
    try:
        _allow(rules, (*confinement.data, "/dev"), all_rights)
        _allow(rules, (*_READABLE, *(confinement.code or ()), *_named_by_environment()), _READ)
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_libc.syscall(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)
    return True


def _abi() -> int:
    return _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)


def _allow(rules: int, paths: Iterable[str], rights: int) -> None:
    for path in dict.fromkeys(paths):
        # What is not there, or what this user has no way to, can't be opened in any case.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                allowed = rights if os.path.isdir(path) else rights & _OF_FILES  # noqa: PTH112
                rule = struct.pack("=Qi", allowed, place)
                _checked(_libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0))
            finally:
                os.close(place)


def _named_by_environment() -> list[str]:
    """Files of the service's own that its environment names, such as that of tokens for servers."""
    return [v for k, v in os.environ.items() if k.startswith("BLOCKMILL_") and k.endswith("_FILE")]


def _checked(result: int) -> int:
    if result < 0:
        why = os.strerror(ctypes.get_errno())
        raise StorageError(f"the kernel does not confine a job to access.data_roots ({why})")
    return result
