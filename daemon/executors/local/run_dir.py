"""The private folder of a running engine: its socket and the logs of its workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ....shared.locking.filelock import FileLock, stale

_PREFIX = "blockmill-"
_OWNER = "owner"
_LONGEST_PATH_BYTES = 90  # a socket's path holds 107, and a name goes behind it


@contextlib.contextmanager
def run_dir() -> Iterator[Path]:
    """A fresh folder that only this user may enter, removed at the end.

    It lies in the user's runtime folder if there is one, else in the temporary folder. A lock in it
    shows that its owner lives; folders whose owner died are removed first.
    """
    base = _base()
    _sweep(base)
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    try:
        with FileLock(str(path / _OWNER)):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _base() -> Path:
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if candidate and len(os.fsencode(candidate)) < _LONGEST_PATH_BYTES - 30:
            path = Path(candidate)
            if path.is_dir() and os.access(path, os.W_OK):
                return path
    return Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it


def _sweep(base: Path) -> None:
    for path in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look into
            if path.stat().st_uid == os.getuid() and stale(path / f"{_OWNER}.lock", private=True):
                shutil.rmtree(path, ignore_errors=True)
