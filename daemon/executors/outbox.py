"""Messages to workers: the tasks that each was sent, and the messages that must come before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from ...shared.messages import engine as wire
from .slotted_job import SlottedJob


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A message for a worker."""

    worker: int
    message: wire.Message


class SentTasks:
    """The tasks that a worker was sent and has not answered, numbered from 1 in order of sending."""

    def __init__(self) -> None:
        self._count = 0
        self._leases: dict[int, wire.Lease] = {}

    def __iter__(self) -> Iterator[wire.Lease]:
        return iter(self._leases.values())

    def add(self, lease: wire.Lease) -> None:
        """Note a task that goes out."""
        self._count += 1
        self._leases[self._count] = lease

    def remove(self, lease: wire.Lease) -> None:
        """Forget a task, and those sent before it: a worker does them in order."""
        first = next(iter(self._leases), 0)
        if self._leases.get(first) == lease:
            del self._leases[first]
        elif lease in self._leases.values():  # else a later one was answered before it
            while self._leases.pop(first) != lease:
                first = next(iter(self._leases))

    def number(self, number: int | None) -> wire.Lease | None:
        """The lease of the `number`-th task that was sent, or None if it has been answered."""
        return None if number is None else self._leases.get(number)


class Outbox:
    """Tasks on their way, gathered over one turn and sent as one message a worker.

    Parameters
    ----------
    jobs : dict of str to SlottedJob
        The executor's jobs, by name.
    """

    def __init__(self, jobs: dict[str, SlottedJob]) -> None:
        self._jobs = jobs
        self._tasks: dict[int, list[tuple[wire.Lease, wire.Task]]] = defaultdict(list)
        self._attached: dict[int, set[int]] = defaultdict(set)  # worker -> segments
        self._sent: dict[int, SentTasks] = defaultdict(SentTasks)

    def add(self, worker: int, lease: wire.Lease) -> None:
        """Send a task with the next `envelopes`.

        Parameters
        ----------
        worker : int
        lease : Lease

        Raises
        ------
        NoRoom
            If its result has no room.
        """
        task = self._jobs[lease.job].task(lease)
        self._tasks[worker].append((lease, task))

    def withdraw(self, worker: int) -> None:
        """Drop the tasks that wait to be sent to this worker."""
        self._tasks.pop(worker, None)

    def envelopes(self) -> Iterable[Envelope]:
        """All messages to send now, in their order."""
        for worker, waiting in self._tasks.items():
            tasks: list[wire.Task] = []
            for lease, task in waiting:
                if lease.job in self._jobs:
                    yield from self._prepare(worker, task)
                    self._sent[worker].add(lease)
                    tasks.append(task)
            yield Envelope(worker, wire.Run(tasks))
        self._tasks.clear()

    def _prepare(self, worker: int, task: wire.Task) -> Iterable[Envelope]:
        job = self._jobs[task.job]
        if worker not in job.prepared_workers:
            job.prepared_workers.add(worker)
            # First whose job it is: a worker that becomes its owner opens no memory by a path any more.
            yield Envelope(worker, wire.Prepare(job.job.name, job.recipe))
            for segment in job.job.shared_buffers:
                if segment.segment not in self._attached[worker]:
                    self._attached[worker].add(segment.segment)
                    yield Envelope(worker, segment)
        if task.slot is not None and task.slot.segment not in self._attached[worker]:
            self._attached[worker].add(task.slot.segment)
            yield Envelope(worker, job.map_segment(task.slot))

    def end_job(self, job: SlottedJob, workers: Iterable[int]) -> Iterable[Envelope]:
        """Messages to send when a job has ended; its memory is given back.

        Parameters
        ----------
        job : SlottedJob
        workers : iterable of int
            Workers that live.

        Returns
        -------
        iterable of Envelope
        """
        name = job.job.name
        in_use = any(lease.job == name for worker in self._sent for lease in self.leases(worker))
        segments = job.close(in_use=in_use)
        for worker in job.prepared_workers.intersection(workers):
            yield Envelope(worker, wire.Forget(name, []))
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
        if (sent := self._sent.get(worker)) is not None:
            sent.remove(lease)

    def leases(self, worker: int) -> list[wire.Lease]:
        """The tasks that a worker has not answered, the one that it does first."""
        sent = self._sent.get(worker, ())
        return [*sent, *(lease for lease, _ in self._tasks.get(worker, ()))]

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
