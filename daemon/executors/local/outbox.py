"""Messages to workers: the tasks that each was sent, and the messages that must come before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from ....shared.messages import engine as wire
from ...engine.job import EngineJob, SentTasks


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A message for a worker."""

    worker: int
    message: wire.Message


class Outbox:
    """Tasks on their way, gathered over one turn and sent as one message a worker.

    Parameters
    ----------
    jobs : dict of str to EngineJob
        Those of the engine, by name.
    """

    def __init__(self, jobs: dict[str, EngineJob]) -> None:
        self._jobs = jobs
        self._tasks: dict[int, list[wire.Task]] = defaultdict(list)
        self._attached: dict[int, set[int]] = defaultdict(set)  # worker -> segments
        self._sent: dict[int, SentTasks] = defaultdict(SentTasks)

    def add(self, worker: int, task: wire.Task) -> None:
        """Send a task with the next `envelopes`."""
        self._tasks[worker].append(task)

    def withdraw(self, worker: int) -> None:
        """Send this worker nothing of what waits for it."""
        self._tasks.pop(worker, None)

    def envelopes(self) -> Iterable[Envelope]:
        """All that is to be sent now, in this order."""
        for worker, tasks in self._tasks.items():
            tasks = [task for task in tasks if task.job in self._jobs]
            for task in tasks:
                yield from self._prepare(worker, task)
                self._sent[worker].add(wire.Lease(task.job, task.block, task.attempt))
            yield Envelope(worker, wire.Run(tasks))
        self._tasks.clear()

    def _prepare(self, worker: int, task: wire.Task) -> Iterable[Envelope]:
        job = self._jobs[task.job]
        if worker not in job.knowing:
            job.knowing.add(worker)
            for segment in job.spec.shared_buffers:
                if segment.segment not in self._attached[worker]:
                    self._attached[worker].add(segment.segment)
                    yield Envelope(worker, segment)
            yield Envelope(worker, wire.Prepare(job.name, job.recipe))
        if task.slot is not None and task.slot.segment not in self._attached[worker]:
            self._attached[worker].add(task.slot.segment)
            yield Envelope(worker, job.map_segment(task.slot))

    def end_job(self, job: EngineJob, segments: list[int], workers: Iterable[int]) -> Iterable[Envelope]:
        """Messages to `workers` when a job has ended and its segments are closed."""
        for worker in job.knowing.intersection(workers):
            yield Envelope(worker, wire.Forget(job.name, []))
        for segment in segments:  # perhaps of an earlier job, and other workers
            yield from self.released(segment)

    def released(self, segment: int) -> Iterable[Envelope]:
        """Messages to workers when a submitter has released shared buffer."""
        for worker, attached in self._attached.items():
            if segment in attached:
                attached.discard(segment)
                yield Envelope(worker, wire.Forget("", [segment]))

    def answered(self, worker: int, lease: wire.Lease) -> None:
        """Note that a worker has done with a task, and with those sent before."""
        self._sent[worker].answered(lease)

    def lease_of(self, worker: int, number: int | None) -> wire.Lease | None:
        """The lease of the `number`-th task that a worker was sent, or None if it has been answered."""
        return self._sent[worker].number(number) if worker in self._sent else None

    def forget(self, worker: int, running: int | None) -> wire.Lease | None:
        """Drop a dead worker's queues. Returns the lease of the `running`-th task it was sent, or None."""
        lease = self.lease_of(worker, running)
        for table in (self._sent, self._tasks, self._attached):
            table.pop(worker, None)
        return lease
