"""The executor of worker processes keeps the promises of all executors."""

from blockmill.daemon.executors.conformance import ExecutorTests
from blockmill.daemon.executors.local.executor import LocalExecutor, LocalWorkers


class TestLocalExecutor(ExecutorTests):
    def make(self):
        return LocalExecutor(LocalWorkers(count=2))
