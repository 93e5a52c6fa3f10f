"""The journal is damaged in every way: the service says so and does not start, or serves what is left."""

import contextlib
import os
import shutil
import sqlite3

import numpy as np
import pytest

pytestmark = pytest.mark.long
ALL, NONE = {1: "done", 2: "done"}, {}


def sql(statement):
    def change(path):
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(statement)

    return change


def write(at, data):
    def change(path):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    return change


def become_folder(path):
    path.unlink()
    path.mkdir()


def become_file(name):
    def change(path):
        shutil.rmtree(path.with_name("jobs") / name if name else path.with_name("jobs"))
        target = path.with_name("jobs")
        (target / name).write_text("x") if name else target.symlink_to("/nonexistent/x")

    return change


REFUSED = {
    "random bytes": lambda path: path.write_bytes(os.urandom(20_000)),
    "cut to half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "header zeroed": write(0, bytes(100)),
    "page zeroed": write(4096, bytes(4096)),
    "page of random bytes": write(8192, os.urandom(4096)),
    "newer version": sql("PRAGMA user_version = 99"),
    "other program": sql("PRAGMA application_id = 7"),
    "table dropped": sql("DROP TABLE jobs"),
    "a folder": become_folder,
}
TAKEN = {
    "as it was": (lambda path: None, ALL),
    "gone": (lambda path: path.unlink(), NONE),
    "empty": (lambda path: path.write_bytes(b""), NONE),
    "WAL of random bytes": (
        lambda path: path.with_name("journal.db-wal").write_bytes(os.urandom(50_000)),
        ALL,
    ),
    "record that is no JSON": (
        sql("UPDATE jobs SET record = 'nonsense' WHERE id = 1"),
        ALL,
    ),
    "record of another make": (
        sql("""UPDATE jobs SET record = '{"x": 1}' WHERE id = 1"""),
        ALL,
    ),
    "last number set back": (sql("UPDATE facts SET value = 0 WHERE name = 'last_id'"), ALL),
    "log folder of a job is a file": (become_file("1"), ALL),
    "log folder is a dangling link": (become_file(""), ALL),
}


@pytest.fixture
def state(bench):
    """The state folder of a service that has done two jobs and ended."""
    bench.volume()
    bench.serve(workers=1)
    for name in "ab":
        job = bench.job(f"{name}.yaml", input="in.npy", output=f"{name}.npy", operation="copy")
        bench.run("submit", "--wait", job)
    bench.end_service()
    return bench.folder / "state" / "blockmill"


@pytest.mark.parametrize("damage", REFUSED)
def test_a_damaged_one_is_refused_with_the_reason(bench, state, damage):
    REFUSED[damage](state / "journal.db")
    code, out, err = bench.end_of("serve", "--workers", "1", timeout_s=50)
    assert code not in (0, None)
    assert "Traceback" not in out + err
    assert "journal.db" in err


@pytest.mark.parametrize("damage", TAKEN)
def test_what_is_left_is_served_and_the_next_job_done(bench, state, damage):
    hurt, states = TAKEN[damage]
    hurt(state / "journal.db")
    bench.serve(workers=1)
    with bench.client() as client:
        assert {info.id: info.state for info in client.jobs()} == states
    bench.run("submit", "--wait", bench.job("c.yaml", input="in.npy", output="c.npy", operation="copy"))
    with bench.client() as client:
        numbers = {info.id for info in client.jobs()}
        assert len(numbers) == len(states) + 1
    assert "Traceback" not in bench.end_service()
    np.testing.assert_array_equal(np.load(bench.folder / "c.npy"), np.load(bench.folder / "in.npy"))


def test_one_that_somebody_else_has_locked_refuses_jobs_until_it_is_free(bench, state):
    bench.serve(workers=1)
    job = bench.job("d.yaml", input="in.npy", output="d.npy", operation="copy")
    with contextlib.closing(sqlite3.connect(state / "journal.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        bench.run("submit", job, code=1)
        bench.run("ls")
        database.execute("ROLLBACK")
    bench.run("submit", "--wait", job)
    bench.end_service()


def test_one_that_is_removed_alone_or_with_its_companions_is_noticed(bench, state):
    for pattern in ("journal.db", "journal.db*"):
        bench.serve(workers=1)
        for path in state.glob(pattern):
            path.unlink()
        job = bench.job("e.yaml", input="in.npy", output="e.npy", operation="copy")
        _, err = bench.run("submit", job, code=1)
        assert "removed or replaced" in err
        bench.end_service(code=1)
        bench.serve(workers=1)
        bench.run("submit", "--overwrite", "--wait", job)
        bench.end_service()
