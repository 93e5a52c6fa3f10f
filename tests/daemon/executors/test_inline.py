"""The executor without processes keeps the promises of all executors, and can be made to fail."""

from blockmill.daemon.executors.api import Died
from blockmill.daemon.executors.conformance import ExecutorTests
from blockmill.daemon.executors.inline import InlineExecutor, WorkerDied
from blockmill.shared.messages.engine import Lease
from blockmill.workers.jobs import WorkerJobs


class TestInlineExecutor(ExecutorTests):
    def make(self):
        return InlineExecutor(WorkerJobs, 2)


class WithDeaths(ExecutorTests):
    __test__ = False

    def make(self):
        return InlineExecutor(Mortal, 2)


class Mortal(WorkerJobs):
    def do(self, task):
        if task.attempt == 1:
            raise WorkerDied("it was killed by SIGKILL")
        return super().do(task)


def test_a_death_in_a_task_names_the_attempt(tmp_path):
    tests = WithDeaths()
    job, _ = tests.copy_job(tmp_path)
    with tests.driven() as driven:
        worker = driven.up()[0]
        driven.executor.add_job(job)
        driven.assign(worker, Lease("j1", 0, 1), Lease("j1", 1, 1))
        driven.until(lambda: bool(driven.deaths()))
        assert driven.deaths() == [Died(worker, "it was killed by SIGKILL", running=Lease("j1", 0, 1))]
