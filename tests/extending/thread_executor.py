"""A toy executor: each worker is a thread of this process. It can't end a task; a kill waits for it."""

import itertools
import os
import queue
import select
import threading
from collections import deque

from blockmill.daemon.executors.api import Answered, Died, Up
from blockmill.daemon.executors.shared_memory import SharedMemoryExecutor
from blockmill.shared.messages.engine import Lease, Run
from blockmill.shared.messages.records import WorkerInfo
from blockmill.workers.jobs import WorkerJobs


class Worker:
    def __init__(self, number, tell):
        self.number, self.tell = number, tell
        self.messages, self.reason, self.done = queue.SimpleQueue(), "", 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        jobs = WorkerJobs()
        while (message := self.messages.get()) is not None:
            if not isinstance(message, Run):
                jobs.handle(message)
            for task in message.tasks if isinstance(message, Run) else ():
                if self.reason:
                    break
                self.tell(self.number, jobs.do(task))
                self.done += 1
        jobs.close()
        self.tell(self.number, None)


class ThreadExecutor(SharedMemoryExecutor):
    def __init__(self, count):
        super().__init__()
        self.count, self.alive = count, True
        self._workers, self._numbers = {}, itertools.count()
        self._told, self._news, self._wake = queue.SimpleQueue(), deque(), os.eventfd(0, os.EFD_NONBLOCK)
        self._stopping = False

    # -- life -----------------------------------------------------------------------

    def start(self):
        while not self._stopping and sum(not worker.reason for worker in self._workers.values()) < self.count:
            number = next(self._numbers)
            self._workers[number] = Worker(number, self._tell)
            self._news.append(Up(number))

    def _tell(self, number, reply):
        self._told.put((number, reply))
        os.eventfd_write(self._wake, 1)

    def wait(self, descriptor, timeout_s):
        if not self._news:
            select.select([descriptor, self._wake], [], [], timeout_s)

    def kill(self, worker, reason, grace_s):
        if worker in self._workers:
            self._workers[worker].reason = reason
            self._outbox.withdraw(worker)
            self._workers[worker].messages.put(None)

    def stop(self, now_s):
        self._stopping = True
        for number in self._workers:
            self.kill(number, "the engine closes", 0)

    def close(self):
        self.stop(0)
        for worker in self._workers.values():
            worker.thread.join()
        self._workers.clear()
        self.alive = False
        self._release_memory()
        if self._wake is not None:
            os.close(self._wake)
            self._wake = None

    # -- news -----------------------------------------------------------------------

    def news(self, now_s):
        select.select([self._wake], [], [], 0)[0] and os.eventfd_read(self._wake)
        while self._news:
            yield self._news.popleft()
        while not self._told.empty():
            number, reply = self._told.get()
            if reply is None:
                yield self._forget(number)
            else:
                self._outbox.note_reply(number, Lease(reply.job, reply.block, reply.attempt))
                yield Answered(number, [reply])
        self.start()

    def _forget(self, number):
        worker = self._workers.pop(number)
        worker.thread.join()  # it has told its last, and may still be about to wake us
        reason = worker.reason
        self._outbox.forget(number, None)
        self.alive = bool(self._workers) or not self._stopping
        return Died(number, reason)

    def output(self):
        return ()

    def workers(self, now_s):
        facts = {"pid": 0, "rss_bytes": 0, "age_s": 0.0}
        return tuple(WorkerInfo(worker=n, tasks=w.done, **facts) for n, w in self._workers.items())

    def _living(self):
        return self._workers

    def _send(self, envelopes):
        for envelope in envelopes:
            if envelope.worker in self._workers:
                self._workers[envelope.worker].messages.put(envelope.message)
