"""A service of a newer version takes up what an older one has left."""

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

JOURNALS = sorted((Path(__file__).parent.parent / "daemon" / "journal").glob("schema-*.db"))
NEWER = """
from blockmill.daemon.journal import database
more = "CREATE TABLE news (name TEXT PRIMARY KEY); INSERT INTO news SELECT token FROM jobs;"
migrations, on_news = database.open_database.__defaults__
database.open_database.__defaults__ = ((*migrations, more), on_news)
from blockmill.client.cli.main import main
main()
"""


@pytest.mark.parametrize("output", ["out.json", "out.npy"])
def test_a_running_job_survives_an_upgrade(bench, output):
    voxels = bench.volume()
    bench.serve()
    number = bench.submit_half_done(output)
    with bench.client() as client:
        state_dir = Path(client.service().state_dir)
    bench.kill_service()
    bench.open_gate()
    bench.command = [sys.executable, "-c", NEWER]
    bench.serve()
    with bench.client() as client:
        info = client.wait(number, timeout_s=60)
    assert (info.state, info.runs, info.done, info.skipped, info.redone) == ("done", 2, 4, 2, 0)
    times = bench.times_begun()
    assert times["0-0-0"] == times["10-0-0"] == 1
    np.testing.assert_array_equal(bench.read(output), voxels)
    bench.end_service()
    journal, copy = state_dir / "journal.db", next(state_dir.glob("journal-of-*-safe-to-remove.db"))
    with contextlib.closing(sqlite3.connect(journal)) as database:
        assert database.execute("SELECT count(*) FROM news").fetchone() == (1,)
    with contextlib.closing(sqlite3.connect(copy)) as database:
        assert database.execute("SELECT state FROM jobs").fetchall() == [("running",)]


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_jobs_of_a_released_journal_go_on(bench, path):
    """The files have one job done, and one that ran when its service was killed."""
    voxels = bench.volume()
    state_dir = bench.folder / "state" / "blockmill"
    state_dir.mkdir(parents=True, mode=0o700)
    (state_dir / "journal.db").write_bytes(path.read_bytes())
    with contextlib.closing(sqlite3.connect(state_dir / "journal.db")) as database, database:
        here = "UPDATE jobs SET record = CAST(replace(CAST(record AS TEXT), ?, ?) AS BLOB)"
        database.execute(here, ('"/data', f'"{bench.folder}'))
        database.execute(here, ('"owner":0', f'"owner":{os.getuid()}'))
    bench.open_gate()
    bench.serve()
    with bench.client() as client:
        assert client.job(1).state == "done"
        info = client.wait(2, timeout_s=60)
        assert (info.state, info.runs, info.label) == ("done", 2, "old")
        assert client.submit(bench.folder / bench.gated_job("three.npy")).id == 3
        client.wait(3, timeout_s=60)
    np.testing.assert_array_equal(bench.read("out.json"), voxels)
    bench.end_service()
