"""Ended jobs are packed: the same records, found by the same searches, in little memory."""

import gc
import tracemalloc

import msgspec
import pytest

from blockmill.daemon.journal.records import JobRecord
from blockmill.daemon.service.jobs.clashes import JobFiles
from blockmill.daemon.service.jobs.job_store import JobStore
from blockmill.daemon.service.jobs.job_table import JobTable
from blockmill.shared.errors import NoSuchJob, Refused
from blockmill.shared.jobs.job import Job
from blockmill.shared.messages.records import JobInfo


def record(number, state="done", **fields):
    info = JobInfo(id=number, owner=1, output=f"/o{number}", submitted_s=0.5, state=state, **fields)
    return JobRecord(info=info, spec={"a": [1, 2.5, None], "b": {"ü": "x" * 500}}, token=f"t{number}")


def store(*ended_s):
    return JobStore(
        record(n, name=f"n{n % 2}", ended_s=s, label="odd" * (n % 2)) for n, s in enumerate(ended_s)
    )


def test_what_is_stored_comes_back_as_it_was():
    records = [record(1, name="a", ended_s=2.0, after=(3, 4)), record(2, "queued", name="b")]
    both = JobStore(records)
    assert [both[1], both[2]] == records
    assert msgspec.json.encode(both[1]) == msgspec.json.encode(records[0])
    assert sorted(both) == [1, 2] and 1 in both and 3 not in both and len(both) == 2
    assert list(both.open.values()) == [records[1]]
    with pytest.raises(KeyError):
        both[3]


def test_a_job_may_end_and_be_queued_again():
    one = JobStore([record(1, "queued", name="a")])
    one[1] = record(1, name="a", ended_s=1.0)
    assert list(one.open.values()) == [] and len(one) == 1
    one[1] = record(1, "queued", name="a")
    assert list(one.open.values()) == [record(1, "queued", name="a")] and len(one) == 1
    del one[1]
    assert not one


def test_the_newest_are_those_that_ended_last():
    several = store(5.0, 1.0, 7.0, 7.0)
    assert [info.id for info in several.newest_ended((), None, 3)] == [3, 2, 0]
    assert [info.id for info in several.newest_ended((), "odd", 3)] == [3, 1]
    assert several.newest_ended(("failed",), None, 3) == []


def test_names_stand_for_the_owners_newest_job():
    several = store(5.0, 1.0, 7.0, 7.0)
    several[9] = record(9, "running", name="n1")
    assert several.newest_named(1, {"n0", "n1", "n2"}) == {"n0": 2, "n1": 9}
    assert several.newest_named(2, {"n0"}) == {}


def test_old_jobs_expire_unless_another_follows_them():
    several = store(5.0, 1.0, 7.0, 2.0)
    assert several.expired(4.0, 10) == [1, 3]
    assert several.expired(0.0, 2) == [1, 3]
    several[9] = record(9, "queued", name="x", after=(1,))
    assert several.expired(4.0, 10) == [3]


def run_jobs(table, numbers):
    for k in numbers:
        job = Job.of({"name": f"j{k}", "input": "/d/in.npy", "output": f"/d/out{k}.npy", "operation": "copy"})
        info = table.submit(
            job.model_dump(mode="json"),
            name=f"j{k}",
            owner=1,
            output=job.output.address,
            token=f"{k:032x}",
            now_s=float(k),
            files=JobFiles.of(job, follow_links=False),
        ).info
        table.accept(info.id)
        table.next_to_start(float(k), 64)
        table.note_plan(info.id, 8, 0)
        table.end(info.id, "done", "", float(k), done=8)
        table.take_changes()


def test_an_ended_job_takes_little_memory():
    table = JobTable()
    run_jobs(table, range(100))
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run_jobs(table, range(100, 1100))
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown / 1000 < 800, "it was 4,800 bytes when the records were kept as they are"


def test_a_job_that_was_not_accepted_leaves_nothing_but_its_number():
    table = JobTable()
    options = {"name": "n", "owner": 1, "now_s": 1.0}
    table.submit({"a": 1}, token="t", output="/o", **options)
    follower = table.submit({"a": 1}, token="u", output="/p", after=(1,), **options).info.id
    assert not table.is_accepted(1)
    assert table.withdraw(1, 2.0) == [follower]
    with pytest.raises(NoSuchJob):
        table.get(1)
    assert table.get(follower).info.reason == "job 1, which it follows, could not be accepted"
    assert [job_record.info.id for job_record in table.take_changes()] == [follower]
    assert table.submit({"a": 1}, token="t", output="/o", **options).info.id == 3


def test_many_predecessors_are_looked_up_by_name_together():
    table = JobTable()
    run_jobs(table, range(3))
    options = {"owner": 1, "now_s": 9.0, "name": "n"}
    assert table.submit({}, token="x", output="/x", after=("j1", 1, "j0"), **options).info.after == (2, 1)
    with pytest.raises(Refused, match="no job of the name 'nosuch'"):
        table.submit({}, token="y", output="/y", after=("nosuch",), **options)
