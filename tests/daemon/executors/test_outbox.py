"""Which messages go to a worker, in which order, and what it holds."""

import itertools

import numpy as np
import pytest

from blockmill.daemon.executors.api import ExecutorJob
from blockmill.daemon.executors.outbox import Outbox
from blockmill.daemon.executors.slotted_job import SlottedJob
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.memory.arena import Arenas
from blockmill.shared.messages import engine as wire


@pytest.fixture
def jobs():
    arenas = Arenas(itertools.count(1))
    blocks = BlockGrid(Roi((0,), (40,)), (10,))
    recipe = wire.Recipe(sources=(wire.Source("in.npy"),))
    made = {
        name: SlottedJob(
            ExecutorJob(name=name, recipe=recipe, blocks=blocks, result_dtype=np.dtype(np.uint8)), arenas
        )
        for name in ("j1", "j2")
    }
    yield made
    for job in made.values():
        job.close(in_use=True)
    arenas.close()


@pytest.fixture
def outbox(jobs):
    return Outbox(jobs)


def sent(outbox):
    return [(envelope.worker, type(envelope.message).__name__) for envelope in outbox.envelopes()]


def test_what_a_task_needs_goes_before_it_and_once(outbox):
    outbox.add(7, wire.Lease("j1", 0, 1))
    assert sent(outbox) == [(7, "Prepare"), (7, "MapSegment"), (7, "Run")]
    outbox.add(7, wire.Lease("j1", 1, 1))
    assert sent(outbox) == [(7, "Run")]


def test_a_line_without_a_name_is_of_the_task_that_runs(outbox):
    outbox.add(7, wire.Lease("j1", 0, 1))
    outbox.add(7, wire.Lease("j2", 1, 1))
    sent(outbox)
    assert outbox.lease_of(7, 2) == wire.Lease("j2", 1, 1)
    outbox.note_reply(7, wire.Lease("j1", 0, 1))
    assert outbox.lease_of(7, 1) is None
    assert outbox.leases(7) == [wire.Lease("j2", 1, 1)]


def test_an_answer_to_a_later_task_ends_the_earlier_ones(outbox):
    for block in range(3):
        outbox.add(7, wire.Lease("j1", block, 1))
    sent(outbox)
    outbox.note_reply(7, wire.Lease("j1", 1, 1))
    assert outbox.leases(7) == [wire.Lease("j1", 2, 1)]


def test_late_answers_and_those_of_the_dead_change_nothing(outbox):
    outbox.add(7, wire.Lease("j1", 0, 2))
    sent(outbox)
    outbox.note_reply(7, wire.Lease("j1", 0, 1))
    outbox.note_reply(8, wire.Lease("j1", 0, 2))
    assert outbox.leases(7) == [wire.Lease("j1", 0, 2)]
    assert outbox.leases(8) == []


def test_a_dead_worker_leaves_the_lease_of_its_task(outbox):
    outbox.add(7, wire.Lease("j1", 0, 1))
    sent(outbox)
    outbox.add(7, wire.Lease("j1", 1, 1))
    assert outbox.forget(7, 1) == wire.Lease("j1", 0, 1)
    assert outbox.leases(7) == []
    assert sent(outbox) == []


def test_tasks_of_a_job_that_has_ended_are_not_sent(outbox, jobs):
    outbox.add(7, wire.Lease("j1", 0, 1))
    outbox.add(7, wire.Lease("j2", 0, 1))
    list(outbox.end_job(jobs.pop("j1"), [7]))
    (run,) = [e.message for e in list(outbox.envelopes()) if isinstance(e.message, wire.Run)]
    assert [task.job for task in run.tasks] == ["j2"]
    assert outbox.leases(7) == [wire.Lease("j2", 0, 1)]


def test_the_memory_of_a_job_with_a_task_on_its_way_is_not_kept(outbox, jobs):
    outbox.add(7, wire.Lease("j1", 0, 1))
    sent(outbox)
    messages = [envelope.message for envelope in outbox.end_job(jobs.pop("j1"), [7])]
    assert messages[0] == wire.Forget("j1", [])
    assert [m.segments for m in messages[1:]] == [[1]]
