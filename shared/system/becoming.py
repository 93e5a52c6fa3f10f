"""Become another user for good: a whole process, with all of its threads, and no way back.

`impersonation` lets one thread use files as another user for a while. That is no protection from the code
that runs meanwhile, which may undo it, and libraries read and write in threads of their own. A process
that does work for one user alone becomes that user instead.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
from pathlib import Path

from ..errors import StorageError
from .impersonation import Identity, user_name

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64
_OF_A_SESSION = ("XDG_", "DBUS_")
_libc = ctypes.CDLL(None, use_errno=True)


def become(identity: Identity) -> None:
    """Be this user from now on, in all threads, without any capability.

    What the user may not read can't be opened any more, Python's own modules included: import before what
    is needed later. Files that are open stay open. The home is the user's, and the working directory ``/``.

    Raises
    ------
    StorageError
        If the kernel refuses; the process may be anybody then, and must not go on.
    """
    try:
        environ = _environ_of(identity.uid)
        _drop_bounds()
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        if identity.uid:
            # From whoever gives up being root the kernel takes all capabilities, in each thread. Those of an
            # account that has some could be dropped by each thread alone, and libraries have own threads.
            os.setresuid(0, 0, 0)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        _drop_capabilities()
        _check(identity)
        os.chdir("/")
    except OSError as error:
        raise StorageError(
            f"a worker can't become {user_name(identity.uid)} ({error}); the service needs CAP_SETUID and "
            "CAP_SETGID, and leave to call setresuid, setresgid and setgroups: after an update of blockmill, "
            "`blockmill service install --system` writes units that give both"
        ) from error
    for name in [name for name in os.environ if name.startswith(_OF_A_SESSION)]:
        del os.environ[name]
    os.environ.update(environ)


def _environ_of(uid: int) -> dict[str, str]:
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return {"HOME": "/"}
    return {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}


def _drop_bounds() -> None:
    """Let no program that is started from now on give what this process has given up."""
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for capability in range(_MOST_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            if (number := ctypes.get_errno()) not in (errno.EINVAL, errno.EPERM):
                raise OSError(number, os.strerror(number))
            return  # it was the last one; or CAP_SETPCAP is lacking, and what is above must be enough


def _drop_capabilities() -> None:
    """Drop those of this thread, inheritable ones included."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _check(identity: Identity) -> None:
    """Look whether every thread is the user and can't be anybody else.

    Only a root without capabilities may have threads that keep theirs: nothing is kept from it by that.
    """
    for task in Path("/proc/self/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        fields = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
        is_user = set(fields["Uid"]) == {str(identity.uid)} and set(fields["Gid"]) == {str(identity.gid)}
        groups = set(map(int, fields["Groups"])) == set(identity.groups)
        held = [fields[name][0] for name in ("CapPrm", "CapEff", "CapAmb") if int(fields[name][0], 16)]
        if not (is_user and groups) or (held and identity.uid):
            raise OSError(errno.EPERM, f"thread {task.name} has not given up everything")
