"""Ended jobs that are removed on request."""

import pytest

from blockmill.daemon.service.jobs.job_table import JobTable
from blockmill.shared.errors import NoSuchJob, Refused


@pytest.fixture
def table():
    """Jobs 1 (done), 2 (failed), 3 (cancelled, because it follows 2), 4 (follows 1), 5 (of another user)."""
    table = JobTable()
    for number, after in ((1, ()), (2, ()), (3, (2,)), (4, (1,)), (5, ())):
        submit(table, number, after)
    for number, outcome in ((1, "done"), (2, "failed"), (5, "done")):
        assert table.next_to_start(0.0, 9).info.id == number
        if number == 1:
            table.pause((4,), "ann")
        table.end(number, outcome, "", 1.0)
    table.take_changes()
    return table


def submit(table, number, after=()):
    owner = 2 if number == 5 else 1
    names = {"name": f"n{number % 2}", "output": f"o{number}", "token": f"t{number}"}
    table.submit({"a": 1}, owner=owner, now_s=0.0, after=after, label="l" if number > 1 else "", **names)
    table.accept(number)


def numbers(table):
    return sorted(info.id for info in table.list(limit=99))


def test_a_removed_job_is_gone_and_its_number_is_not_given_again(table):
    assert [job_record.info.id for job_record in table.remove([1])] == [1]
    assert numbers(table) == [2, 3, 4, 5]
    with pytest.raises(NoSuchJob):
        table.get(1)
    assert 1 not in table and 2 in table
    table.journal_again(1)
    assert table.take_changes() == []
    assert table.submit({}, name="x", owner=1, output="o", token="t1", now_s=0.0).info.id == 6


def test_a_predecessor_that_is_done_counts_as_done_when_it_is_gone(table):
    table.remove([1])
    table.resume((4,))
    assert table.next_to_start(0.0, 9).info.id == 4


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ([1, 4], Refused, "job 4 is queued; cancel it first: blockmill cancel 4"),
        ([1, 2], Refused, "job 2 is not done, and job 3 comes after it"),
        ([1, 77], NoSuchJob, "no job 77"),
    ],
)
def test_one_that_can_not_be_removed_keeps_them_all(table, asked, error, words):
    with pytest.raises(error, match=words):
        table.remove(asked)
    assert numbers(table) == [1, 2, 3, 4, 5]


def test_a_job_and_its_follower_go_together(table):
    table.remove([3, 2, 3])
    assert numbers(table) == [1, 4, 5]


def test_all_ended_ones_of_a_user(table):
    assert [job_record.info.id for job_record in table.remove_ended(1, "l")] == [2, 3]
    assert [job_record.info.id for job_record in table.remove_ended(1)] == [1]
    assert numbers(table) == [4, 5]
    assert table.remove_ended(3) == []


def test_of_all_ended_ones_those_stay_that_another_job_waits_for(table):
    table.retry(3, False)
    assert [job_record.info.id for job_record in table.remove_ended(1)] == [1]
    assert numbers(table) == [2, 3, 4, 5]
    assert table.next_to_start(3.0, 9) is None  # 3 waits for 2, 4 is paused


def test_jobs_that_could_not_be_removed_from_the_journal_are_back(table):
    table.restore(table.remove([2, 3]))
    assert numbers(table) == [1, 2, 3, 4, 5]
    assert table.has_token("t2", 1)


def test_whom_a_name_or_a_label_means(table):
    def found(*args, **options):
        return [info.id for info in table.find(*args, **options)]

    assert found(1, "n1") == [1, 3]
    assert found(2, "n1") == [5]
    assert found(2, "n0") == [2, 4]  # those of others, where none is one's own
    assert found(1, label="l") == [2, 3, 4]
    assert found(3, label="l") == []
    assert (found(1, ended=True), found(1, ended=False)) == ([1, 2, 3], [4])
