"""Paths of the service: its socket, its state, its configuration.

The service manager's own folders come first, then those of the user (XDG base directories).
"""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
from pathlib import Path

from ..errors import BlockmillError

_NAME = "blockmill"
SOCKET_NAME = "service.sock"
MACHINES_SOCKET = Path("/run") / _NAME / SOCKET_NAME
"""Of the service of the machine, as its unit has it."""
LONGEST_SOCKET_PATH_BYTES = 107
"""What a unix socket's address holds (``sun_path`` less its end, unix(7))."""


def state_dir() -> Path:
    """Folder of the journal and of the logs of jobs; not made here."""
    if value := os.environ.get("STATE_DIRECTORY"):
        return Path(value.split(":")[0])
    return _xdg("XDG_STATE_HOME", ".local/state") / _NAME


def runtime_dir() -> Path:
    """Folder of the socket of the service; not made here."""
    if value := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(value.split(":")[0])
    if value := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(value) / _NAME
    return Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}"


def config_dirs() -> list[Path]:
    """Folders of configuration files, in the order in which they count; the last one wins."""
    unit = os.environ.get("CONFIGURATION_DIRECTORY")
    folders = [Path("/etc") / _NAME, *([Path(unit.split(":")[0])] if unit else [])]
    return list(dict.fromkeys([*folders, _xdg("XDG_CONFIG_HOME", ".config") / _NAME]))


def socket_path(explicit: str | os.PathLike[str] | None = None) -> Path:
    """Path of the service's socket.

    Parameters
    ----------
    explicit : path, optional
        As given by the user; else ``$BLOCKMILL_SOCKET``, else in `runtime_dir`.

    Raises
    ------
    BlockmillError
        If the path is too long for a unix socket.
    """
    path = Path(explicit or os.environ.get("BLOCKMILL_SOCKET") or runtime_dir() / SOCKET_NAME).absolute()
    if (size := len(os.fsencode(path))) > LONGEST_SOCKET_PATH_BYTES:
        raise BlockmillError(
            f"the path of the socket, {path}, has {size} bytes, a unix socket holds "
            f"{LONGEST_SOCKET_PATH_BYTES}; give a shorter one with --socket or BLOCKMILL_SOCKET"
        )
    return path


def find_socket(explicit: str | os.PathLike[str] | None = None) -> Path:
    """Find the socket of a service for a client: the given path, else a socket that exists.

    The user's own service comes first, in any of the folders where its shell may have put the socket;
    then that of the machine. Without any, the path that the user's own one would have.

    Raises
    ------
    BlockmillError
        As of `socket_path`.
    """
    first = socket_path(explicit)
    if explicit or os.environ.get("BLOCKMILL_SOCKET"):
        return first
    uid = os.getuid()
    own = (
        Path(f"/run/user/{uid}") / _NAME,
        Path(f"/run/{_NAME}-{getpass.getuser()}"),
        Path(tempfile.gettempdir()) / f"{_NAME}-{uid}",
    )
    for path in (first, *(folder / SOCKET_NAME for folder in own)):
        with contextlib.suppress(OSError):
            if path.parent.stat().st_uid == uid and path.is_socket():
                return path
    try:
        return MACHINES_SOCKET if MACHINES_SOCKET.exists() else first
    except PermissionError:  # it is for a group; the error comes when a client connects
        return MACHINES_SOCKET


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return Path(value) if value and Path(value).is_absolute() else Path.home() / default
