"""The private folder of a running engine: its socket and the logs of its workers."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

_PREFIX = "blockmill-"
_LONGEST_PATH_BYTES = 90  # a socket's path holds 107, and a name goes behind it


def make_run_dir() -> Path:
    """A fresh folder that only this user may enter; those of dead engines are removed.

    It lies in the user's runtime folder where there is one, else in the temporary folder.
    Its name carries pid and start time of its owner, so that a folder left by a killed
    process is known for what it is.
    """
    base = _base()
    _sweep(base)
    owner = f"{os.getpid()}-{int(psutil.Process().create_time())}"
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{owner}-", dir=base))


def _base() -> Path:
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if candidate and len(os.fsencode(candidate)) < _LONGEST_PATH_BYTES - 40:
            path = Path(candidate)
            if path.is_dir() and os.access(path, os.W_OK):
                return path
    return Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it


def _sweep(base: Path) -> None:
    for path in base.glob(f"{_PREFIX}*-*-*"):
        try:
            if path.stat().st_uid == os.getuid() and not _owner_lives(path.name):
                shutil.rmtree(path, ignore_errors=True)
        except (FileNotFoundError, ValueError):  # gone meanwhile, or not a folder of ours
            continue


def _owner_lives(name: str) -> bool:
    pid, start, *_ = name.removeprefix(_PREFIX).split("-")
    try:
        return int(psutil.Process(int(pid)).create_time()) == int(start)
    except psutil.NoSuchProcess:
        return False
