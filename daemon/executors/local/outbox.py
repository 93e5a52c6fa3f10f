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
        The engine's jobs, by name.
    """

    def __init__(self, jobs: dict[str, EngineJob]) -> None:
        self._jobs = jobs
        self._tasks: dict[int, list[wire.Task]] = defaultdict(list)
        self._attached: dict[int, set[int]] = defaultdict(set)  # worker -> segments
        self._sent: dict[int, SentTasks] = defaultdict(SentTasks)

    def add(self, worker: int, task: wire.Task) -> None:
        """Send a task with the next `envelopes`.

        Parameters
        ----------
        worker : int
        task : Task
        """
        self._tasks[worker].append(task)

    def withdraw(self, worker: int) -> None:
        """Drop the tasks that wait to be sent to this worker."""
        self._tasks.pop(worker, None)

    def envelopes(self) -> Iterable[Envelope]:
        """All messages to send now, in their order."""
        for worker, tasks in self._tasks.items():
            tasks = [task for task in tasks if task.job in self._jobs]
            for task in tasks:
                yield from self._prepare(worker, task)
                self._sent[worker].add(wire.Lease(task.job, task.block, task.attempt))
            yield Envelope(worker, wire.Run(tasks))
        self._tasks.clear()

    def _prepare(self, worker: int, task: wire.Task) -> Iterable[Envelope]:
        job = self._jobs[task.job]
        if worker not in job.prepared_workers:
            job.prepared_workers.add(worker)
            for segment in job.spec.shared_buffers:
                if segment.segment not in self._attached[worker]:
                    self._attached[worker].add(segment.segment)
                    yield Envelope(worker, segment)
            yield Envelope(worker, wire.Prepare(job.name, job.recipe))
        if task.slot is not None and task.slot.segment not in self._attached[worker]:
            self._attached[worker].add(task.slot.segment)
            yield Envelope(worker, job.map_segment(task.slot))

    def end_job(self, job: EngineJob, segments: list[int], workers: Iterable[int]) -> Iterable[Envelope]:
        """Messages to send when a job has ended.

        Parameters
        ----------
        job : EngineJob
        segments : list of int
            Numbers of the segments that workers may release.
        workers : iterable of int
            Workers that live.

        Returns
        -------
        iterable of Envelope
        """
        for worker in job.prepared_workers.intersection(workers):
            yield Envelope(worker, wire.Forget(job.name, []))
        for segment in segments:  # perhaps of an earlier job, and other workers
            yield from self.release(segment)

    def release(self, segment: int) -> Iterable[Envelope]:
        """Messages to send when a submitter has released a shared buffer."""
        for worker, attached in self._attached.items():
            if segment in attached:
                attached.discard(segment)
                yield Envelope(worker, wire.Forget("", [segment]))

    def note_reply(self, worker: int, lease: wire.Lease) -> None:
        """Note that a worker has answered a task, and so has done those that were sent before it.

        Parameters
        ----------
        worker : int
        lease : Lease
        """
        self._sent[worker].remove(lease)

    def lease_of(self, worker: int, number: int | None) -> wire.Lease | None:
        """The lease of a task that a worker was sent.

        Parameters
        ----------
        worker : int
        number : int or None
            Number of the task, counted from 1 in order of sending.

        Returns
        -------
        Lease or None
            None if the task has been answered.
        """
        return self._sent[worker].number(number) if worker in self._sent else None

    def forget(self, worker: int, running: int | None) -> wire.Lease | None:
        """Drop a dead worker's queues.

        Parameters
        ----------
        worker : int
        running : int or None
            Number of the task that it was doing, counted from 1 in order of sending.

        Returns
        -------
        Lease or None
            The lease of that task.
        """
        lease = self.lease_of(worker, running)
        for table in (self._sent, self._tasks, self._attached):
            table.pop(worker, None)
        return lease
