import contextlib
import sqlite3
import threading
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from blockmill.daemon.journal import group_sync, schema
from blockmill.daemon.journal.journal import Journal
from blockmill.daemon.journal.records import AttemptRow, BlockRow, JobRecord
from blockmill.shared.errors import StorageError
from blockmill.shared.messages.records import JobInfo

JOB, BLOCK = st.integers(1, 3), st.integers(0, 5)


def job_record(number=1, **fields):
    info = JobInfo(id=number, name="a", owner=7, output="out", submitted_s=1.0, **fields)
    return JobRecord(info=info, spec={"operation": {"copy": {}}}, token=f"t{number}")


def row(job=1, block=0, done=True, **fields):
    corners = {} if done else {"start": (0, 0), "stop": (2, 2)}
    return BlockRow(job=job, block=block, done=done, **corners, **fields)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(group_sync, "_EVERY_S", 0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path):
    made = Journal(path)
    yield made
    made.close()


class JournalMachine(RuleBasedStateMachine):
    """The journal against dictionaries, through any number of reopenings."""

    @initialize(folder=st.builds(lambda: None))
    def open(self, folder):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "j.db"
        self.journal = Journal(self.path, sync=lambda path: None)
        self.jobs, self.blocks, self.attempts, self.paused, self.last_id = {}, {}, [], "", 0

    @rule(job=JOB, state=st.sampled_from(["queued", "running", "done"]), priority=st.integers(-9, 9))
    def save(self, job, state, priority):
        self.jobs[job] = job_record(job, state=state, priority=priority)
        self.last_id = job
        self.journal.save(self.jobs[job]).result(10)

    @rule(job=JOB, block=BLOCK, done=st.booleans(), skipped=st.booleans(), sync=st.booleans())
    def note(self, job, block, done, skipped, sync):
        self.journal.note(
            row(job, block, done, skipped=skipped and done, reason="" if done else "bad"),
            self.folder.name if sync and done else None,
        )
        if sync and done:
            self.journal.flush().result(10)  # else an order between the two ways is not promised
        times = self.blocks.get((job, block), (None, 0))[1] + (done and not skipped)
        self.blocks[job, block] = (done, times)

    @rule(job=JOB, block=BLOCK, memory=st.booleans())
    def attempt(self, job, block, memory):
        made = AttemptRow(job, block, len(self.attempts), 1, 2.0, "why", memory)
        self.attempts.append(made)
        self.journal.attempt(made)

    @rule(job=JOB)
    def begin_run(self, job):
        self.journal.begin_run(job)
        self.blocks = {key: value for key, value in self.blocks.items() if key[0] != job or value[0]}

    @rule(job=JOB)
    def remove(self, job):
        self.journal.remove([job]).result(10)
        self.jobs.pop(job, None)
        self.blocks = {key: value for key, value in self.blocks.items() if key[0] != job}
        self.attempts = [made for made in self.attempts if made.job != job]

    @rule(paused=st.sampled_from(["", "all, by ann"]))
    def pause(self, paused):
        self.journal.set_paused_all(paused).result(10)
        self.paused = paused

    @rule()
    def reopen(self):
        self.journal.close()
        self.journal = Journal(self.path, sync=lambda path: None)
        loaded = self.journal.loaded
        assert {one.info.id: one for one in loaded.jobs} == self.jobs
        assert (loaded.last_id, loaded.paused_all) == (self.last_id, self.paused)

    @rule(job=JOB, limit=st.integers(0, 9))
    def ask(self, job, limit):
        given_up = sorted(block for (one, block), (done, _) in self.blocks.items() if one == job and not done)
        self.journal.flush().result(10)
        failures, count = self.journal.failures(job, limit).result(10)
        assert [failure.block for failure in failures] == given_up[:limit]
        assert count == len(given_up)
        assert all((f.start, f.stop, f.reason) == ((0, 0), (2, 2), "bad") for f in failures)
        times = [times for (one, _), (_, times) in self.blocks.items() if one == job]
        assert self.journal.count_redone(job).result(10) == sum(max(n - 1, 0) for n in times)
        attempts = sorted((a for a in self.attempts if a.job == job), key=lambda a: (a.block, a.attempt))
        assert self.journal.attempts(job, 1000).result(10) == attempts

    def teardown(self):
        if hasattr(self, "journal"):
            self.journal.close()
            self.folder.cleanup()


JournalMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestTheJournalAgainstDictionaries = JournalMachine.TestCase


def test_the_file_is_the_users_own(journal, path):
    assert path.stat().st_mode & 0o777 == 0o600


def test_rows_of_a_group_are_committed_after_the_sync(path):
    may_sync, synced = threading.Event(), []

    def sync(folder):
        assert may_sync.wait(30)
        synced.append(folder)

    journal = Journal(path, sync=sync)
    try:
        journal.note(row(block=1), sync=str(path.parent))
        journal.save(job_record()).result(30)  # a submission does not wait for the sync
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT count(*) FROM blocks").fetchone() == (0,)
        other.close()
        flushed = journal.flush()
        assert not synced
        may_sync.set()
        flushed.result(30)
        assert synced == [str(path.parent)]
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT count(*) FROM blocks").fetchone() == (1,)
        other.close()
    finally:
        may_sync.set()
        journal.close()


def test_failed_blocks_are_told_while_a_sync_takes_its_time(path):
    may_sync = threading.Event()
    journal = Journal(path, sync=lambda folder: may_sync.wait(30))
    try:
        journal.note(row(block=1), sync=str(path.parent))
        journal.note(row(block=2, done=False, reason="nan"))
        failures, count = journal.failures(1, 10).result(30)
        assert not may_sync.is_set()
        assert ([one.block for one in failures], count) == ([2], 1)
    finally:
        may_sync.set()
        journal.close()


def test_the_next_sync_comes_at_once_where_somebody_waits_for_it(path, monkeypatch):
    monkeypatch.setattr(group_sync, "_EVERY_S", 3600.0)
    journal = Journal(path, sync=lambda folder: None)
    for block in range(3):
        journal.note(row(block=block), sync=str(path.parent))
        journal.flush().result(30)
    journal.close()


def test_a_sync_that_fails_is_told_and_tried_again(path):
    troubles, tries = [], []

    def sync(folder):
        tries.append(folder)
        if len(tries) < 2:
            raise StorageError("the medium is gone")

    journal = Journal(path, sync=sync, on_trouble=troubles.append)
    journal.note(row(), sync=str(path.parent))
    journal.flush().result(30)
    journal.close()
    assert len(tries) == 2
    assert "the medium is gone" in troubles[0]


def test_a_full_disk_refuses_what_somebody_waits_for_and_keeps_the_rest(path):
    troubles = []
    journal = Journal(path, on_trouble=troubles.append)
    journal.save(job_record()).result(10)
    limit = journal._ask(lambda database: database.execute("PRAGMA max_page_count = 1").fetchone()).result(10)
    huge = JobRecord(info=job_record(2).info, spec={"x": "y" * 1_000_000}, token="t2")
    with pytest.raises(StorageError, match="database or disk is full"):
        journal.save(huge).result(10)
    for block in range(5000):
        journal.note(row(block=block, done=False, reason="r" * 100))
    with pytest.raises(StorageError):
        journal.save(huge).result(10)
    assert len(troubles) == 1
    journal._ask(lambda database: database.execute("PRAGMA max_page_count = 1000000").fetchone()).result(10)
    while journal.failures(1, 1).result(10)[1] < 5000:
        pass  # the rows are tried again before long
    assert "can be written again" in troubles[-1]
    assert limit
    journal.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a database at all" * 100, "not a journal"), (b"SQLite format 3\0" + b"\xff" * 4000, "journal")],
)
def test_a_file_that_is_no_journal_is_left_alone(path, content, message):
    path.write_bytes(content)
    with pytest.raises(StorageError, match=message):
        Journal(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(StorageError, match="another program"):
        Journal(path)


def test_records_of_other_versions_are_read_as_far_as_they_are_known(journal, path):
    """One with the least that there ever was, and one with what is not known yet."""
    least = {"id": 1, "name": "a", "owner": 7, "output": "out", "submitted_s": 1.0}
    records = [
        {"info": least, "spec": {"operation": {"copy": {}}}, "token": "t1"},
        {"info": {**least, "id": 2, "mood": "good"}, "spec": {}, "token": "t2", "colour": ["grey"]},
    ]
    journal.close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for one in records:
            row = (one["info"]["id"], one["token"], "queued", None, msgspec.json.encode(one))
            database.execute(schema.SAVE_JOB, row)
    again = Journal(path)
    assert again.loaded.jobs[0] == job_record()
    assert (again.loaded.jobs[1].info.id, again.loaded.jobs[1].token) == (2, "t2")
    again.close()


DAMAGE = {
    "nonsense": ("nonsense", "JSON is malformed"),
    "another shape": ('{"x": 1}', "missing required field"),
    "another job's": (msgspec.json.encode(job_record(7)), "it is of job 7"),
    "a number": (5, ""),
    "deep": ("[" * 100_000, ""),
}


@pytest.mark.parametrize(("content", "reason"), DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("state", ["queued", "done"])
def test_a_record_that_can_not_be_read_is_put_aside_and_the_others_go_on(path, content, reason, state):
    journal = Journal(path)
    for number in (1, 2, 3):
        journal.save(job_record(number, state=state, ended_s=5.0 if state == "done" else None)).result(10)
    journal.close()
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE jobs SET record = ? WHERE id = 2", (content,))
    journal = Journal(path)
    loaded = journal.loaded
    journal.close()
    aside = loaded.jobs.pop(1)
    assert loaded.unreadable == [2] and loaded.last_id == 3
    assert loaded.jobs == [job_record(n, state=state, ended_s=aside.info.ended_s) for n in (1, 3)]
    assert (aside.info.id, aside.info.state, aside.spec, aside.token) == (2, state, {}, "t2")
    assert "put aside" in aside.info.reason and reason in aside.info.reason


def test_name_owner_and_output_of_a_record_of_another_shape_are_told(path):
    Journal(path).close()
    content = b'{"info": {"name": "mine", "owner": 7, "output": 5, "id": "x"}}'
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("INSERT INTO jobs VALUES (4, 't', 'odd', NULL, ?)", (content,))
    journal = Journal(path)
    journal.close()
    (aside,) = journal.loaded.jobs
    info = aside.info
    assert (info.name, info.owner, info.output, info.state) == ("mine", 7, "", "queued")


@pytest.mark.parametrize("table", ["jobs", "blocks", "attempts", "facts"])
def test_a_journal_without_one_of_its_tables_is_a_damaged_one(path, table):
    Journal(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(f"DROP TABLE {table}")
    with pytest.raises(StorageError, match=f"a damaged one .it has no table {table}.; put it aside"):
        Journal(path)


def test_a_damaged_row_of_a_block_concerns_its_job_alone(journal, path):
    journal.note(row(job=1, block=0, done=False, reason="bad"))
    journal.note(row(job=2, block=0, done=False, reason="bad"))
    journal.flush().result(10)
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE blocks SET failure = 'nonsense' WHERE job = 1")
    with pytest.raises(StorageError, match="can't be read"):
        journal.failures(1, 5).result(10)
    assert journal.failures(2, 5).result(10)[0][0].reason == "bad"


@pytest.mark.parametrize("end", ["", "-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_journal_that_is_removed_while_it_is_open_takes_nothing_more(path, end, replaced):
    troubles, told = [], threading.Event()
    journal = Journal(path, on_trouble=lambda text: (troubles.append(text), told.set()))
    journal.save(job_record(1)).result(10)
    name = path.with_name(path.name + end)
    name.rename(path.with_name("kept"))
    if replaced:
        name.touch()
    assert told.wait(30) and "was removed or replaced" in troubles[0]  # with no call at all
    with pytest.raises(StorageError, match="removed or replaced"):
        journal.save(job_record(2)).result(10)
    assert len(troubles) == 1
    path.with_name("kept").replace(name)
    journal.save(job_record(3)).result(10)
    assert "can be written again" in troubles[-1]
    journal.close()
    again = Journal(path)
    again.close()
    assert [job.info.id for job in again.loaded.jobs] == [1, 3]


def test_a_journal_that_stays_away_is_told_at_the_end(path):
    journal = Journal(path)
    path.unlink()
    with pytest.raises(StorageError, match="removed or replaced"):
        journal.save(job_record(2)).result(10)
    with pytest.raises(StorageError, match="removed or replaced"):
        journal.close()


def test_a_journal_that_another_process_holds_is_told_as_that(path, journal, monkeypatch):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError) as caught:
            journal.save(job_record()).result(60)
        other.execute("ROLLBACK")
    assert "the journal is locked by another process" in str(caught.value)
    assert "make room" not in str(caught.value)
    journal.save(job_record()).result(60)


def test_a_journal_that_is_held_when_it_is_opened_is_no_damaged_one(path):
    Journal(path).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="the journal is locked by another process"):
            Journal(path)


def test_a_limit_beyond_64_bits_does_not_end_the_journal(journal):
    with pytest.raises(StorageError, match="can't be read"):
        journal.failures(1, 2**64).result(60)
    journal.save(job_record()).result(60)
