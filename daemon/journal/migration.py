"""Brings the journal of an earlier version to the newest schema; a copy of it as it was is kept.

The copy's name says which version can read it, and that it may be removed:
``journal-of-0.1-safe-to-remove.db``. It does not begin as the names of SQLite's own files do: whoever moves
``journal.db*`` aside to go back to it moves a write-ahead log along, which must not meet the copy.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import sqlite3
from pathlib import Path

from ...shared.errors import StorageError
from ...shared.files.atomic import PARTIAL_MARK, remove_if_there, replacing, sync_directory, sync_file
from ...shared.outside_text import clean
from ...shared.units import format_size
from ...shared.version import __version__
from . import schema

MOST_COPIES = 3
"""Copies that are kept, the newest ones."""

_MARK = "-safe-to-remove"
_MOST_CHARACTERS = 40


def written_by(database: sqlite3.Connection) -> str:
    """The version of blockmill that has written a journal last, in a form that fits into a file's name.

    Parameters
    ----------
    database : sqlite3.Connection
        It may be of any schema.

    Returns
    -------
    str
        "0.1" where none is noted: version 0.1 noted none. Empty if it can't be told.
    """
    try:
        row = database.execute(schema.FACT, ("version",)).fetchone()
    except sqlite3.Error:  # a later version may keep it elsewhere
        return ""
    if row is None:
        return "0.1"
    return re.sub(r"[^\w.+]", "_", clean(str(row[0]), _MOST_CHARACTERS), flags=re.ASCII)


def copies(path: Path) -> dict[Path, str]:
    """The copies of earlier versions beside a journal with those versions, the newest copy first."""
    pattern = re.compile(rf"{re.escape(path.stem)}-of-(.+){_MARK}{re.escape(path.suffix)}", re.DOTALL)
    found = {entry: match[1] for entry in path.parent.iterdir() if (match := pattern.fullmatch(entry.name))}
    return dict(sorted(found.items(), key=lambda item: item[0].stat().st_mtime_ns, reverse=True))


def _copy_of(path: Path, version: str) -> Path:
    return path.with_name(f"{path.stem}-of-{version}{_MARK}{path.suffix}")


def migrate(database: sqlite3.Connection, path: Path, migrations: tuple[str, ...]) -> Path | None:
    """Bring a journal to the newest schema, in one step; one that exists is copied first.

    Parameters
    ----------
    database : sqlite3.Connection
        The opened journal; it holds no transaction.
    path : Path
        Its file.
    migrations : tuple of str
        Scripts of SQL; the n-th takes a journal of schema n to n + 1.

    Returns
    -------
    Path or None
        The copy; None if nothing was there to be copied, or to be changed.

    Raises
    ------
    StorageError
        If it can't be copied or changed; it is unchanged then.
    """
    number = database.execute("PRAGMA user_version").fetchone()[0]
    if number == len(migrations):
        return None
    copy = _keep_copy(database, path) if number else None
    steps = "".join(migrations[number:])
    try:
        database.executescript(
            f"BEGIN EXCLUSIVE; {steps} PRAGMA application_id = {schema.APPLICATION_ID};"
            f"PRAGMA user_version = {len(migrations)}; COMMIT;"
        )
    except sqlite3.Error as error:
        if copy is None:
            raise
        raise StorageError(
            f"{path}: the journal of version {written_by(database)} can't be brought to this version, "
            f"{__version__} ({error}); it is unchanged: make room or mend its file system, and start again, "
            "or go on with the earlier version"
        ) from error
    if copy is not None:
        _remove_old_copies(path)
    return copy


def _keep_copy(database: sqlite3.Connection, path: Path) -> Path:
    """Copy a journal, whole or not at all, into a file that no other account may read."""
    version = written_by(database)
    copy = _copy_of(path, version or "unknown")
    try:
        _remove_partial_copies(path)
        with replacing(str(copy)) as partial:
            _copy(database, partial)
        sync_directory(str(path.parent))
    except (OSError, sqlite3.Error) as error:
        size = path.stat().st_size
        raise StorageError(
            f"{path}: the journal is of version {version or 'unknown'}, and was not brought to this version, "
            f"{__version__}, because no copy of it could be kept as {copy.name} ({error}); make room for "
            f"{format_size(size)} in {path.parent}, then start again. It is unchanged, so the earlier "
            "version can go on with it, too"
        ) from error
    return copy


def _copy(database: sqlite3.Connection, target: str) -> None:
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            database.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        sync_file(target)
    finally:
        for end in ("-journal", "-wal", "-shm"):
            remove_if_there(f"{target}{end}")


def _remove_partial_copies(path: Path) -> None:
    """Remove what a service that was killed while it copied has left."""
    for entry in path.parent.glob(f"{glob.escape(path.stem)}-of-*{_MARK}*{PARTIAL_MARK}*"):
        entry.unlink(missing_ok=True)


def _remove_old_copies(path: Path) -> None:
    for copy in list(copies(path))[MOST_COPIES:]:
        copy.unlink(missing_ok=True)
