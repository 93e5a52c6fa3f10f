"""What the engine's thread takes of the answers of workers: those that are asked for."""

import pytest

from blockmill.daemon.engine.job import EngineJob, JobSpec
from blockmill.daemon.engine.loop import Dispatcher
from blockmill.daemon.engine.mailbox import Mailbox
from blockmill.daemon.executors.api import Answered
from blockmill.daemon.executors.inline import InlineExecutor
from blockmill.daemon.scheduling import events as ev
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.messages import engine as wire
from blockmill.workers.jobs import WorkerJobs


class Loop:
    """A dispatcher with a job of four blocks, whose workers do nothing by themselves."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.executor = InlineExecutor(WorkerJobs, 2)
        self.dispatcher = Dispatcher(self.executor, self.mailbox)
        self.executor.start()
        recipe = wire.Recipe(sources=(wire.Source("in.npy"),))
        spec = JobSpec(recipe=recipe, blocks=BlockGrid(Roi((0,), (40,)), (10,)))
        self.job = EngineJob("j1", spec, lambda *command: None)
        self.dispatcher._command_submit(self.job)

    def feed(self, event: ev.Event) -> None:
        self.dispatcher._feed(event)
        self.executor.flush()

    def hear(self, worker: int, *replies: wire.TaskReply) -> None:
        self.dispatcher._take[Answered](Answered(worker, list(replies)))


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.mailbox.shut()
    loop.executor.close()


def done(block: int, attempt: int = 1) -> wire.TaskDone:
    return wire.TaskDone("j1", block, attempt, voxels=10, seconds=1.0)


def test_a_late_answer_is_not_noted_once_the_block_is_with_another_worker(loop):
    loop.feed(ev.Ready(0))
    loop.feed(ev.Lost(0, "gone"))
    loop.feed(ev.Ready(1))
    assert loop.dispatcher._core.holds(1, "j1", 0, 2)
    loop.hear(0, done(0), done(0, attempt=2))
    assert loop.job.leased_blocks == {0}
    assert loop.job.handle.progress.blocks == 0
    loop.hear(1, done(0, attempt=2))
    assert loop.job.handle.progress.blocks == 1


def test_a_doubled_answer_counts_once_in_one_message_and_in_two(loop):
    loop.feed(ev.Ready(0))
    loop.hear(0, done(0), done(0))
    loop.hear(0, done(0))
    assert loop.job.handle.progress.blocks == 1
    assert loop.job.handle.progress.voxels == 10


def test_an_answer_of_a_job_that_nobody_knows_changes_nothing(loop):
    loop.feed(ev.Ready(0))
    loop.hear(0, wire.TaskDone("j9", 0, 1, seconds=1.0))
    assert loop.job.leased_blocks == {0}
