"""A journal of an earlier version becomes one of this version; one of a later version is refused."""

import contextlib
import hashlib
import os
import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest
from small_disks import MemoryDisk

from blockmill.daemon.journal import migration, schema
from blockmill.daemon.journal.database import open_database
from blockmill.daemon.journal.journal import Journal
from blockmill.daemon.journal.records import JobRecord
from blockmill.shared.errors import StorageError
from blockmill.shared.messages.records import JobInfo
from blockmill.shared.version import __version__

RELEASED = sorted(Path(__file__).parent.glob("schema-*.db"))
MORE = (*schema.MIGRATIONS, "ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey';")
RECORD = JobRecord(
    info=JobInfo(id=1, name="a", owner=7, output="out", submitted_s=1.0),
    spec={"operation": {"copy": {}}},
    token="t1",
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def ask(path, question):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


def change(path, *statements):
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def journal_with_a_job(path):
    journal = Journal(path)
    journal.save(RECORD).result(10)
    journal.close()


def names(path):
    return sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("journal.db-"))


def copy_of(path, version):
    return path.with_name(f"journal-of-{version}-safe-to-remove.db")


def test_an_older_journal_is_brought_up_to_date_with_a_copy_kept(path):
    journal_with_a_job(path)
    news = []
    database = open_database(path, MORE, news.append)
    assert database.execute("SELECT id, colour FROM jobs").fetchall() == [(1, "grey")]
    assert database.execute("PRAGMA user_version").fetchone() == (len(MORE),)
    database.close()
    copy = copy_of(path, __version__)
    assert names(path) == sorted([copy.name, "journal.db"])
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert ask(copy, "SELECT record FROM jobs") == [(msgspec.json.encode(RECORD),)]
    assert ask(copy, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
    (told,) = news
    assert str(copy) in told
    assert "may be removed" in told
    open_database(path, MORE, news.append).close()
    assert len(news) == 1


def test_the_copy_holds_what_a_killed_service_had_left_in_its_write_ahead_log(path, tmp_path):
    killed = tmp_path / "killed"
    killed.mkdir()
    journal = Journal(killed / path.name)
    journal.save(RECORD).result(10)
    for end in ("", "-wal"):
        path.with_name(path.name + end).write_bytes((killed / f"{path.name}{end}").read_bytes())
    journal.close()
    assert path.with_name("journal.db-wal").stat().st_size
    open_database(path, MORE).close()
    assert ask(copy_of(path, __version__), "SELECT id FROM jobs") == [(1,)]


@pytest.mark.parametrize("old", RELEASED, ids=lambda path: path.stem)
def test_a_released_journal_is_brought_up_to_date(old, path):
    path.write_bytes(old.read_bytes())
    journal = Journal(path)
    assert [(one.info.id, one.info.state) for one in journal.loaded.jobs] == [(1, "done"), (2, "running")]
    assert journal.loaded.last_id == 2
    assert journal.count_redone(2).result(10) == 0
    assert journal.failed_blocks(2).result(10) == (frozenset(), 2)
    journal.close()
    assert ask(path, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
    copy = copy_of(path, "0.1")
    assert ask(copy, "SELECT id, state FROM jobs") == [(1, "done"), (2, "running")]
    assert ask(copy, "PRAGMA user_version") == ask(old, "PRAGMA user_version")


@pytest.mark.parametrize("old", RELEASED, ids=lambda path: path.stem)
def test_to_go_back_the_copy_is_given_the_journals_name(old, path):
    path.write_bytes(old.read_bytes())
    journal_with_a_job(path)
    aside = path.parent / "newer"
    aside.mkdir()
    for entry in path.parent.glob("journal.db*"):  # as the page on administration says
        entry.rename(aside / entry.name)
    copy_of(path, "0.1").rename(path)
    number = int(old.stem.removeprefix("schema-"))
    database = open_database(path, schema.MIGRATIONS[:number])
    assert database.execute("SELECT id, state FROM jobs").fetchall() == [(1, "done"), (2, "running")]
    database.close()


def test_a_journal_of_a_newer_version_is_refused_with_the_ways_to_go_on(path):
    journal_with_a_job(path)
    open_database(path, MORE).close()
    change(path, "UPDATE facts SET value = '99.1' WHERE name = 'version'")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer blockmill") as caught:
        Journal(path)
    text = str(caught.value)
    assert f"99.1, schema {len(MORE)}; this is {__version__}, which knows {len(schema.MIGRATIONS)}" in text
    assert "install that version again" in text
    assert f"move journal.db* aside and call {copy_of(path, __version__).name}" in text
    assert "another --state-dir" in text
    assert path.read_bytes() == before


def test_a_newer_journal_is_refused_whatever_its_tables_and_copies_are(path):
    journal_with_a_job(path)
    change(path, "PRAGMA user_version = 99", "DROP TABLE facts")
    copy_of(path, "98.0").touch()
    with pytest.raises(StorageError, match=r"newer blockmill .of unknown version, schema 99") as caught:
        Journal(path)
    assert "98.0" not in str(caught.value)


def test_a_journal_of_the_same_schema_and_a_newer_version_is_opened_with_a_word(path):
    journal_with_a_job(path)
    change(path, "UPDATE facts SET value = '99.1' WHERE name = 'version'")
    news = []
    journal = Journal(path, on_news=news.append)
    assert [one.info.id for one in journal.loaded.jobs] == [1]
    journal.close()
    assert "written by a newer blockmill, 99.1" in news[0]
    assert ask(path, "SELECT value FROM facts WHERE name = 'version'") == [(__version__,)]


def test_a_new_journal_has_no_copy_and_no_news(path):
    news = []
    Journal(path, on_news=news.append).close()
    assert (names(path), news) == (["journal.db"], [])


def test_a_few_copies_are_kept_the_newest_ones(path):
    journal_with_a_job(path)
    for age, version in enumerate(("0.5", "0.3", "0.7", "0.6")):
        copy_of(path, version).write_text("")
        os.utime(copy_of(path, version), (1000 - age, 1000 - age))
    left = path.with_name("journal-of-0.5-safe-to-remove.db.partial-0123456789ab")
    left.write_text("")
    theirs = path.with_name("journal-of-the-expedition.db")
    theirs.write_text("")
    open_database(path, MORE).close()
    kept = [copy_of(path, version).name for version in (__version__, "0.5", "0.3")]
    assert len(kept) == migration.MOST_COPIES
    assert names(path) == sorted([*kept, theirs.name, "journal.db"])


def test_a_version_in_the_journal_can_not_lead_elsewhere(path):
    journal_with_a_job(path)
    change(path, "UPDATE facts SET value = '../../x y' WHERE name = 'version'")
    open_database(path, MORE).close()
    assert names(path) == ["journal-of-.._.._x_y-safe-to-remove.db", "journal.db"]


def test_without_room_for_the_copy_the_journal_stays_as_it_is(tmp_path):
    with MemoryDisk.mounted(tmp_path / "disk", size="1m") as disk:
        path = disk.root / "journal.db"
        journal = Journal(path)
        huge = msgspec.structs.replace(RECORD, spec={"x": "y" * 400_000})
        journal.save(huge).result(10)
        journal.close()
        (disk.root / "ballast").write_bytes(bytes(200_000))
        before = path.read_bytes()
        with pytest.raises(StorageError, match="no copy of it could be kept") as caught:
            open_database(path, MORE)
        assert "make room for" in str(caught.value)
        assert "full" in str(caught.value)
        assert names(path) == ["ballast", "journal.db"]
        assert path.read_bytes() == before
        (disk.root / "ballast").unlink()
        open_database(path, MORE).close()
        assert ask(copy_of(path, __version__), "SELECT count(*) FROM jobs") == [(1,)]


def test_without_room_for_the_migration_the_journal_is_not_called_damaged(tmp_path):
    with MemoryDisk.mounted(tmp_path / "disk", size="1m") as disk:
        path = disk.root / "journal.db"
        journal_with_a_job(path)
        large = (*schema.MIGRATIONS, "CREATE TABLE more AS SELECT randomblob(2000000);")
        with pytest.raises(StorageError, match="can't be brought to this version") as caught:
            open_database(path, large)
        assert "full" in str(caught.value)
        assert "damaged" not in str(caught.value)
        assert ask(path, "SELECT id FROM jobs") == [(1,)]
        assert ask(path, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]


def test_a_full_disk_at_the_start_is_no_damaged_journal(tmp_path):
    with MemoryDisk.mounted(tmp_path / "disk", size="256k") as disk:
        path = disk.root / "journal.db"
        (disk.root / "ballast").write_bytes(bytes(250_000))
        with pytest.raises(
            StorageError, match=r"can't be written \((database or disk is full|disk I/O error)\); make"
        ):
            Journal(path)


def test_a_migration_that_fails_changes_nothing(path):
    journal_with_a_job(path)
    before = path.read_bytes()
    broken = (*schema.MIGRATIONS, "ALTER TABLE jobs ADD COLUMN a; ALTER TABLE none ADD b;")
    with pytest.raises(StorageError, match="can't be brought to this version"):
        open_database(path, broken)
    assert path.read_bytes() == before
    Journal(path).close()


def test_a_released_schema_is_the_one_that_was_released():
    """A released schema never changes; what is new is a migration."""
    digests = [hashlib.sha256(script.encode()).hexdigest()[:12] for script in schema.MIGRATIONS]
    assert digests[:1] == ["a451d6de7397"]
