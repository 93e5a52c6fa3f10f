"""The journal: accepted jobs, ends of blocks and failed attempts, in one SQLite file.

One thread has the only connection. Rows wait in one queue, in order, and are committed in groups: at
once if somebody waits for one, else several times a second. A block of a job with durability "group"
is committed only after its file system was synced.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ...shared.errors import StorageError
from ...shared.files.sync import sync_filesystem
from ...shared.messages.records import BlockFailure
from . import schema
from .database import damaged, facts_and_jobs, open_database, unwritable
from .group_sync import GroupSync
from .loading import LoadedJournal, load
from .presence import Presence
from .records import AttemptRow, BlockRow, JobRecord

_LONGEST_PAUSE_S = 5.0
_FIRST_PAUSE_S = 0.1
_TICK_S = 1.0
_to_json = msgspec.json.Encoder().encode
_Write = tuple[str, tuple[Any, ...]]


@dataclass(slots=True)
class _Item:
    """Work for the journal's thread: rows to write, or a query; with a future if somebody waits."""

    writes: list[_Write]
    ask: Callable[[sqlite3.Connection], Any] | None = None
    future: Future[Any] | None = None


class Journal:
    """The journal in the file at `path`, which is made if it does not exist.

    Parameters
    ----------
    path : Path
    commit_s : float
        Longest time that a row waits for others to be committed with.
    sync : callable
        Brings the file system of a path to its medium.
    on_trouble : callable
        Told when the journal can't be written, and when it can again.
    on_news : callable
        Told, before this is made, that the journal was of another version.

    Raises
    ------
    StorageError
        If it can't be opened, is damaged, or is of a newer version.
    """

    def __init__(
        self,
        path: Path,
        *,
        commit_s: float = 0.05,
        sync: Callable[[str], None] = sync_filesystem,
        on_trouble: Callable[[str], None] = lambda text: None,
        on_news: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path = path
        self._commit_s = commit_s
        self._on_trouble = on_trouble
        self._on_news = on_news
        self._trouble = ""
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._closed = False
        opened: Future[LoadedJournal] = Future()
        self._thread = threading.Thread(target=self._serve, args=(opened,), name="journal", daemon=True)
        self._thread.start()
        self.loaded = opened.result()
        self._group_sync: GroupSync[_Item] = GroupSync(sync, self._items.put, on_trouble)

    # -- any thread -----------------------------------------------------------------

    def save(self, job_record: JobRecord) -> Future[None]:
        """Insert or replace a job; done when it is on the medium."""
        info = job_record.info
        row = (info.id, job_record.token, info.state, info.ended_s, _to_json(job_record))
        return self._put([(schema.SAVE_JOB, row), (schema.SAVE_FACT, ("last_id", info.id))])

    def set_paused_all(self, paused: str) -> Future[None]:
        """Record that all jobs are paused, and by whom, as in `JobInfo.paused_by`; empty: they are not."""
        return self._put([(schema.SAVE_FACT, ("paused_all", paused or 0))])

    def note(self, row: BlockRow, sync: str | None = None) -> None:
        """Add the end of a block.

        Parameters
        ----------
        row : BlockRow
        sync : str, optional
            A path; the row is written only after its file system was synced.
        """
        failure = None if row.done else _to_json([row.start, row.stop, row.reason])
        times = int(row.done and not row.skipped)
        values = (row.job, row.block, row.done, times, row.attempts, row.seconds)
        item = _Item([(schema.SAVE_BLOCK, (*values, row.bytes_read, row.bytes_written, failure))])
        if sync is not None:
            self._group_sync.put(sync, item)
        else:
            self._items.put(item)

    def attempt(self, row: AttemptRow) -> None:
        """Add an attempt that failed."""
        values = (row.job, row.block, row.attempt, row.worker, row.time_s, row.memory, row.reason)
        self._items.put(_Item([(schema.SAVE_ATTEMPT, values)]))

    def begin_run(self, job: int) -> None:
        """Delete the blocks that earlier runs of a job have given up."""
        self._items.put(_Item([(schema.BEGIN_RUN, (job,))]))

    def remove(self, jobs: Iterable[int]) -> Future[None]:
        """Delete jobs with the rows of their blocks and attempts."""
        numbers = list(jobs)
        return self._put([(statement, (job,)) for statement in schema.REMOVE for job in numbers])

    def flush(self) -> Future[None]:
        """A future that is done when everything put before is on the medium."""
        return self._after_all(_Item([], future=Future()))

    def failures(self, job: int, limit: int) -> Future[tuple[list[BlockFailure], int]]:
        """The first failed blocks of a job.

        The rows of done blocks may wait for a sync; this query does not wait for them.

        Parameters
        ----------
        job : int
        limit : int
            Most blocks to list.

        Returns
        -------
        Future of (list of BlockFailure, int)
            The blocks, and the number of all failed ones.
        """

        def ask(database: sqlite3.Connection) -> tuple[list[BlockFailure], int]:
            count = database.execute(schema.FAILURE_COUNT, (job,)).fetchone()[0]
            rows = database.execute(schema.FAILURES, (job, limit)).fetchall()
            return [_failure(*row) for row in rows], count

        item = _Item([], ask=ask, future=Future())
        self._items.put(item)
        assert item.future is not None
        return item.future

    def failed_blocks(self, job: int) -> Future[tuple[frozenset[int], int]]:
        """The numbers of the blocks that a job has given up, and how many it has done."""

        def ask(database: sqlite3.Connection) -> tuple[frozenset[int], int]:
            failed = frozenset(row[0] for row in database.execute(schema.FAILED_BLOCKS, (job,)))
            return failed, database.execute(schema.DONE_COUNT, (job,)).fetchone()[0]

        return self._ask(ask)

    def attempts(self, job: int, limit: int) -> Future[list[AttemptRow]]:
        """The first failed attempts of a job, in order of block and attempt.

        Parameters
        ----------
        job : int
        limit : int
            Most attempts to list.

        Returns
        -------
        Future of list of AttemptRow
        """

        def ask(database: sqlite3.Connection) -> list[AttemptRow]:
            rows = database.execute(schema.ATTEMPTS, (job, limit)).fetchall()
            return [AttemptRow(*row[:-1], memory=bool(row[-1])) for row in rows]

        return self._ask(ask)

    def count_redone(self, job: int) -> Future[int]:
        """Number of blocks of a job that were computed more than once."""
        return self._ask(lambda database: database.execute(schema.REDONE, (job,)).fetchone()[0])

    def close(self) -> None:
        """Write all remaining rows and close the file.

        Raises
        ------
        StorageError
            If something can't be written.
        """
        if self._closed:
            return
        self._closed = True
        self._group_sync.close()
        self._items.put(None)
        self._thread.join()
        if self._trouble:
            raise StorageError(self._trouble)

    def _put(self, writes: list[_Write]) -> Future[None]:
        future: Future[None] = Future()
        self._items.put(_Item(writes, future=future))
        return future

    def _ask(self, ask: Callable[[sqlite3.Connection], Any]) -> Future[Any]:
        return self._after_all(_Item([], ask=ask, future=Future()))

    def _after_all(self, item: _Item) -> Future[Any]:
        assert item.future is not None
        if self._group_sync.empty:
            self._items.put(item)
        else:  # the answer is to hold for what was given before, which is still there
            self._group_sync.put(None, item)
        return item.future

    # -- the journal's thread -------------------------------------------------------

    def _serve(self, opened: Future[LoadedJournal]) -> None:
        try:
            database = open_database(self.path, on_news=self._on_news)
            try:
                loaded = load(*facts_and_jobs(database))
            except sqlite3.Error as error:
                database.close()
                raise damaged(self.path, error) from error
            self._presence = Presence(self.path)
        except BaseException as error:  # noqa: BLE001 - whoever opens the journal gets it
            opened.set_exception(error)
            return
        opened.set_result(loaded)
        with contextlib.closing(database):
            waiting: list[_Item] = []
            pause_s = _FIRST_PAUSE_S
            while True:
                batch, last = self._gather(waiting)
                waiting = self._commit(database, batch)
                if last:
                    return
                if waiting:  # what nobody waits for is tried again, later each time
                    time.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                else:
                    pause_s = _FIRST_PAUSE_S

    def _gather(self, batch: list[_Item]) -> tuple[list[_Item], bool]:
        """The next changes to write, perhaps none. The second result is True if they are the last ones."""
        batch = list(batch)
        deadline_s: float | None = time.monotonic() if batch else None
        while True:
            try:
                wait_s = _TICK_S if deadline_s is None else max(deadline_s - time.monotonic(), 0.0)
                item = self._items.get(timeout=wait_s)
            except queue.Empty:
                return batch, False
            if item is None:
                return batch, True
            batch.append(item)
            if item.future is not None:
                deadline_s = time.monotonic()  # somebody waits: take what is there, and go
            elif deadline_s is None:
                deadline_s = time.monotonic() + self._commit_s

    def _commit(self, database: sqlite3.Connection, batch: list[_Item]) -> list[_Item]:
        """Write a batch and resolve its futures. Returns the items that could not be written."""
        if gone := self._presence.trouble():
            return self._refuse(database, batch, gone)
        try:
            if any(item.writes for item in batch):
                with database:
                    database.execute("BEGIN IMMEDIATE")
                    _execute(database, batch)
        except sqlite3.Error as error:
            return self._refuse(database, batch, str(unwritable(self.path, error)))
        if gone := self._presence.trouble():  # perhaps before the commit: nobody is told that it holds
            self._refuse(database, batch, gone)
            return []
        if self._trouble:
            self._trouble = ""
            self._on_trouble(f"{self.path}: the journal can be written again")
        for item in batch:
            _answer(item, database)
        return []

    def _refuse(self, database: sqlite3.Connection, batch: list[_Item], text: str) -> list[_Item]:
        """Tell that a batch can't be written. Returns the items for which nobody waits."""
        if not self._trouble:
            self._on_trouble(text)
        self._trouble = text
        for item in batch:
            if item.ask is not None:
                _answer(item, database)  # it can still be read
            elif item.future is not None:
                item.future.set_exception(StorageError(text))
        return [item for item in batch if item.future is None]


def _execute(database: sqlite3.Connection, batch: list[_Item]) -> None:
    """Carry out all writes in order; consecutive writes of one kind go together."""
    statement, rows = "", []
    for item in batch:
        for text, values in item.writes:
            if text != statement and rows:
                database.executemany(statement, rows)
                rows = []
            statement = text
            rows.append(values)
    if rows:
        database.executemany(statement, rows)


def _answer(item: _Item, database: sqlite3.Connection) -> None:
    if item.future is None:
        return
    try:
        result = item.ask(database) if item.ask is not None else None
    # A damaged row is no JSON, or of another shape.
    except (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        item.future.set_exception(StorageError(f"the journal can't be read: {error}"))
    else:
        item.future.set_result(result)


def _failure(block: int, attempts: int, failure: bytes) -> BlockFailure:
    start, stop, reason = msgspec.json.decode(failure)
    return BlockFailure(block, tuple(start), tuple(stop), attempts, reason)
