"""What the journal has confirmed survives a kill of its process at any moment."""

import random
import signal
import sqlite3
import subprocess
import sys

from blockmill.daemon.journal.journal import Journal

WRITER = """
import sys
from pathlib import Path
from blockmill.daemon.journal.records import BlockRow, JobRecord
from blockmill.daemon.journal.journal import Journal
from blockmill.shared.messages.records import JobInfo

journal = Journal(Path(sys.argv[1]), sync=lambda path: None)
number = journal.loaded.last_id
while True:
    number += 1
    for block in range(20):
        journal.note(BlockRow(number, block, True))
    info = JobInfo(id=number, name="a", owner=1, output="o", submitted_s=1.0)
    journal.save(JobRecord(info=info, spec={}, token=f"t{number}")).result()
    print(number, flush=True)
"""


def test_no_kill_loses_what_was_confirmed(tmp_path):
    path, rng, confirmed = tmp_path / "journal.db", random.Random(5), 0
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(rng.randint(1, 60)):
            confirmed = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        confirmed = int(rest[-1]) if rest else confirmed
        journal = Journal(path)
        numbers = [record.info.id for record in journal.loaded.jobs]
        journal.close()
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= confirmed
        database = sqlite3.connect(path)
        counts = dict(database.execute("SELECT job, count(*) FROM blocks GROUP BY job").fetchall())
        database.close()
        assert all(counts[number] == 20 for number in numbers)  # rows come before what was asked for later
