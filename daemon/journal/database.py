"""The file of the journal: checked when opened, brought to the newest schema, never overwritten."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...shared.errors import StorageError
from ...shared.version import __version__, is_older
from . import schema
from .migration import copies, migrate, written_by

_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def open_database(
    path: Path,
    migrations: tuple[str, ...] = schema.MIGRATIONS,
    on_news: Callable[[str], None] = lambda text: None,
) -> sqlite3.Connection:
    """Open a journal's file; it is made, or brought to the newest schema, if necessary.

    Parameters
    ----------
    path : Path
    migrations : tuple of str
        Scripts of SQL; the n-th takes a journal of schema n to n + 1.
    on_news : callable
        Told that a journal of another version was opened, and where its copy lies.

    Returns
    -------
    sqlite3.Connection

    Raises
    ------
    StorageError
        If that can't be done; the file is unchanged then.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=True)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{path}: the journal can't be opened: {error}") from error
    try:
        _check(database, path, len(migrations))
        mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StorageError(
                f"{path}: SQLite can't keep a write-ahead log here (it uses {mode}), as on a network "
                "file system; give a --state-dir on a local disk"
            )
        database.execute("PRAGMA synchronous = FULL")
        _take_up(database, path, migrations, on_news)
    except sqlite3.Error as error:
        database.close()
        raise damaged(path, error) from error
    except BaseException:
        database.close()
        raise
    return database


def facts_and_jobs(database: sqlite3.Connection) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """The facts of an opened journal by name, and the rows of its jobs.

    Raises
    ------
    sqlite3.Error
        If one of the tables is missing, or can't be read.
    """
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    if missing := [name for name in schema.TABLES if name not in tables]:
        raise sqlite3.DatabaseError(f"it has no table {missing[0]}")
    return dict(database.execute(schema.FACTS).fetchall()), database.execute(schema.JOBS).fetchall()


def damaged(path: Path, error: sqlite3.Error) -> StorageError:
    """The error for a file that SQLite can't read as a journal, or that the system does not let it use.

    Parameters
    ----------
    path : Path
    error : sqlite3.Error

    Returns
    -------
    StorageError
    """
    if is_locked(error) or _code(error) in _OF_THE_DISK:
        return unwritable(path, error)
    return StorageError(
        f"{path}: not a journal, or a damaged one ({error}); put it aside and start again, the finished "
        "blocks of its jobs are still in their outputs"
    )


def _code(error: sqlite3.Error) -> int:
    # The lower eight bits are the code, the others say more of it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_locked(error: sqlite3.Error) -> bool:
    """Test if another process holds the database."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def unwritable(path: Path, error: sqlite3.Error) -> StorageError:
    """The error for a journal that can't be written.

    Parameters
    ----------
    path : Path
    error : sqlite3.Error

    Returns
    -------
    StorageError
    """
    if is_locked(error):
        return StorageError(
            f"{path}: the journal is locked by another process, such as sqlite3 or a backup program; "
            f"end that (fuser {shlex.quote(str(path))} names it), then try again"
        )
    return StorageError(f"{path}: the journal can't be written ({error}); make room or mend its file system")


def _check(database: sqlite3.Connection, path: Path, newest: int) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    application = database.execute("PRAGMA application_id").fetchone()[0]
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != schema.APPLICATION_ID:
        raise StorageError(f"{path}: a database of another program; give another --state-dir")
    if version > newest:
        raise _newer(database, path, version, newest)
    if (verdict := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(verdict)


def _newer(database: sqlite3.Connection, path: Path, number: int, newest: int) -> StorageError:
    """The refusal of a journal that a newer version has written, with the ways to go on."""
    ways = ["install that version again"]
    fitting = [copy for copy, version in copies(path).items() if not is_older(__version__, version)]
    if fitting:
        ways.append(f"move {path.name}* aside and call {fitting[0].name}, the journal as it was, {path.name}")
    theirs = written_by(database) or "of unknown version"
    return StorageError(
        f"{path}: written by a newer blockmill ({theirs}, schema {number}; "
        f"this is {__version__}, which knows {newest}); {', or '.join([*ways, 'give another --state-dir'])}"
    )


def _take_up(
    database: sqlite3.Connection, path: Path, migrations: tuple[str, ...], on_news: Callable[[str], None]
) -> None:
    """Bring a journal to the newest schema, and note this version in it."""
    before = written_by(database)
    copy = migrate(database, path, migrations)
    if copy is not None:
        on_news(
            f"the journal was brought from version {before} to {__version__}; a copy of it as it was before "
            f"lies in {copy}, and may be removed"
        )
    elif is_older(__version__, before):
        on_news(
            f"the journal was written by a newer blockmill, {before}; this is {__version__}: a job that "
            "uses what only that one knows ends as failed, and can be tried again there"
        )
    if written_by(database) not in ("", __version__):  # empty: a damaged journal, told when it is read
        database.execute(schema.SAVE_FACT, ("version", __version__))
