"""The tables of the journal, and how those of older versions become those of now.

The schema's number is SQLite's ``user_version``. A released schema never changes: a change is a
migration, appended to `MIGRATIONS`, and a file of the old schema in the tests. A field of a record that an
older version would ignore or refuse, to the harm of a job, needs a new schema as well.
"""

from __future__ import annotations

APPLICATION_ID = 0x626C6D6C
"""``blml``: tells our files from other SQLite databases."""

_SCHEMA_1 = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL,
    state TEXT NOT NULL,
    ended_s REAL,
    record BLOB NOT NULL          -- JobRecord as JSON
);
CREATE TABLE blocks (
    job INTEGER NOT NULL,
    block INTEGER NOT NULL,
    done INTEGER NOT NULL,        -- 1 done, 0 given up
    times INTEGER NOT NULL,       -- how often it was computed to its end
    attempts INTEGER NOT NULL,
    seconds REAL NOT NULL,
    bytes_read INTEGER NOT NULL,
    bytes_written INTEGER NOT NULL,
    failure BLOB,                 -- [start, stop, reason] as JSON, of blocks given up
    PRIMARY KEY (job, block)
) WITHOUT ROWID;
CREATE TABLE attempts (
    job INTEGER NOT NULL,
    block INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    time_s REAL NOT NULL,
    memory INTEGER NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX attempts_of_job ON attempts (job, block);
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""

_SCHEMA_2 = """
-- The tables are the same. The jobs in `record` have keys that version 0.1 refuses, so each of them would
-- fail there; the number has it refuse the whole journal instead, which its jobs survive.
"""

MIGRATIONS: tuple[str, ...] = (_SCHEMA_1, _SCHEMA_2)
"""The n-th takes a journal of schema n to n + 1; the first one makes a new journal."""

SAVE_JOB = """
INSERT INTO jobs VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, ended_s = excluded.ended_s, record = excluded.record
"""
SAVE_BLOCK = """
INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job, block) DO UPDATE SET
    done = excluded.done, times = times + excluded.times, attempts = excluded.attempts,
    seconds = excluded.seconds, bytes_read = excluded.bytes_read,
    bytes_written = excluded.bytes_written, failure = excluded.failure
"""
SAVE_ATTEMPT = "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?)"
SAVE_FACT = "INSERT OR REPLACE INTO facts VALUES (?, ?)"
BEGIN_RUN = "DELETE FROM blocks WHERE job = ? AND done = 0"
REMOVE = (
    "DELETE FROM jobs WHERE id = ?",
    "DELETE FROM blocks WHERE job = ?",
    "DELETE FROM attempts WHERE job = ?",
)
TABLES = ("jobs", "blocks", "attempts", "facts")
JOBS = "SELECT id, token, state, ended_s, record FROM jobs ORDER BY id"
FACTS = "SELECT name, value FROM facts"
FACT = "SELECT value FROM facts WHERE name = ?"
REDONE = "SELECT coalesce(sum(times - 1), 0) FROM blocks WHERE job = ? AND times > 1"
FAILURES = "SELECT block, attempts, failure FROM blocks WHERE job = ? AND done = 0 ORDER BY block LIMIT ?"
FAILURE_COUNT = "SELECT count(*) FROM blocks WHERE job = ? AND done = 0"
FAILED_BLOCKS = "SELECT block FROM blocks WHERE job = ? AND done = 0"
DONE_COUNT = "SELECT count(*) FROM blocks WHERE job = ? AND done = 1"
ATTEMPTS = """
SELECT job, block, attempt, worker, time_s, reason, memory FROM attempts
WHERE job = ? ORDER BY block, attempt LIMIT ?
"""
