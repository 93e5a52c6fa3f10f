"""The task that a worker was in, as its coordinator finds out."""

from blockmill.shared.memory.task_counters import TaskCounters


def test_the_task_that_was_begun_and_not_ended_is_the_one():
    ours = TaskCounters()
    theirs = TaskCounters(ours.path)
    ours.close_file()
    assert ours.running is None
    theirs.begin()
    assert ours.running == 1
    theirs.end()
    assert ours.running is None
    theirs.begin()
    theirs.close()
    assert ours.running == 2
    ours.close()
