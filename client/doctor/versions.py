"""Checks of the versions of Python, blockmill, and the libraries that it depends on."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from ... import __version__
from .finding import Finding, fail, ok

# distribution, module, what the module calls the version of the C library below it
_BOUND = (
    ("h5py", "h5py.version", "hdf5_version", "HDF5"),
    ("pyzmq", "zmq", "zmq_version", "libzmq"),
)
_PLAIN = ("numpy", "scipy", "msgspec", "pydantic", "psutil", "portalocker", "isal", "deflate", "numcodecs")
_WAL_BUG_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""First releases of each line without the bug (https://www.sqlite.org/wal.html#walresetbug)."""
_REPAIR = f"install it again: {sys.executable} -m pip install --force-reinstall blockmill"


def check_versions() -> Iterator[Finding]:
    """Check the installed versions, and that compiled parts can be loaded."""
    yield ok(
        "version",
        f"blockmill {__version__}, Python {platform.python_version()} ({sys.executable}), {_system()}",
    )
    for name, module, attribute, library in _BOUND:
        try:
            value = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            yield fail(name, f"can't be used: {error}", _REPAIR)
            continue
        yield ok(
            name,
            f"{installed(name)}, {library} {value() if callable(value) else value}",
        )
    missing = [name for name in _PLAIN if installed(name) is None]
    if missing:
        yield fail("libraries", f"not installed: {', '.join(missing)}", _REPAIR)
    yield ok("libraries", ", ".join(f"{name} {installed(name)}" for name in _PLAIN if name not in missing))
    version = getattr(importlib.import_module("sqlite3"), "sqlite_version_info")  # noqa: B009 - only the journal may import it
    yield check_sqlite(version)


def installed(name: str) -> str | None:
    """The version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_sqlite(version: tuple[int, int, int]) -> Finding:
    """Check for the bug of SQLite 3.7.0 to 3.51.2 that resets a write-ahead log under a checkpoint."""
    text = "SQLite " + ".".join(map(str, version))
    if not has_wal_bug(version):
        return ok("sqlite", text)
    return Finding(
        "sqlite",
        "ok",
        f"{text} has the WAL-reset bug (mended in 3.51.3, 3.50.7, 3.44.6); the journal can't meet it, the "
        "service has one connection to it",
        "let no other program open journal.db while the service runs",
    )


def has_wal_bug(version: tuple[int, int, int]) -> bool:
    """Test if two connections that write and checkpoint at once may damage a database of this version."""
    line = next((first for first in _WAL_BUG_FIXED if first[:2] == version[:2]), _WAL_BUG_FIXED[-1])
    return (3, 7, 0) <= version < line


def _system() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"
