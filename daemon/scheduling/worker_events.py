"""Events from the workers: they are up or gone, they did a block, could not, or take too long.

Here each lease ends: its job gets the result, and the scheduler notes that there is room. An answer
without a lease is late or doubled, and changes nothing.
"""

from math import inf

from .events import Action, Assign, Done, Failed, Lost, Ready, Retire, Tick
from .job import JobState
from .scheduler import Scheduler


class WorkerEvents:
    """Handles the events of workers. Each method appends the actions that follow to `actions`.

    Parameters
    ----------
    jobs : dict of str to JobState
        All jobs that are not forgotten, by name; shared with the coordinator.
    scheduler : Scheduler
        The scheduler that has these workers.
    """

    def __init__(self, jobs: dict[str, JobState], scheduler: Scheduler) -> None:
        self._jobs = jobs
        self._scheduler = scheduler
        self._pool = scheduler.pool
        self._fair_share = scheduler.fair_share
        self._now_s: float | None = None

    # ------------------------------------------------------------------------- come and gone

    def ready(self, event: Ready, actions: list[Action]) -> None:
        """A worker is up: it may have leases.

        Parameters
        ----------
        event : Ready
        actions : list of Action
        """
        if event.worker not in self._pool.workers:  # to take up a doubled hello would undo a Retire or a Kill
            self._pool.join(event.worker)

    def retire(self, event: Retire, actions: list[Action]) -> None:
        """A worker gets no more leases.

        Parameters
        ----------
        event : Retire
        actions : list of Action
        """
        if (worker := self._pool.workers.get(event.worker)) is not None:
            self._pool.withhold(worker)

    def lost(self, event: Lost, actions: list[Action]) -> None:
        """A worker is gone: the block that it was doing has failed, its other blocks are returned.

        Parameters
        ----------
        event : Lost
        actions : list of Action
        """
        worker = self._pool.remove(event.worker)
        if worker is None:
            return
        for index, lease in enumerate(worker.leases):
            self._scheduler.close(lease)
            job = self._jobs[lease.job]
            is_culprit = index == event.running and worker.target in (None, lease) and job.outcome is None
            if is_culprit:
                reason = event.reason
                if worker.kill_reason not in reason:
                    reason = f"{worker.kill_reason}: {reason}"
                job.lease_failed(lease, reason, actions, memory=event.memory, killed=True)
            else:
                job.lease_returned(lease)
            self._scheduler.settle(job, actions)

    def tick(self, event: Tick, actions: list[Action]) -> None:
        """Time has passed: kill the workers whose block takes longer than it may.

        Parameters
        ----------
        event : Tick
        actions : list of Action

        Raises
        ------
        ValueError
            If the time went back.
        """
        now_s = event.now_s
        if self._now_s is not None and now_s < self._now_s:
            raise ValueError(f"the time went back from {self._now_s} s to {now_s} s; use a monotonic clock")
        self._now_s = now_s
        self._scheduler.tick()
        for worker in self._pool.workers.values():
            if not worker.leases or worker.target is not None:
                continue
            if worker.running_since_s is None:
                worker.running_since_s = now_s
            lease = worker.leases[0]
            limit_s = self._jobs[lease.job].block_timeout_s
            if limit_s is not None and now_s - worker.running_since_s > limit_s:
                self._scheduler.kill(worker, f"block {lease.block} ran longer than {limit_s:g} s", actions)

    # -------------------------------------------------------------------------------- answers

    def done(self, event: Done, actions: list[Action]) -> None:
        """A block is done: close its lease, and count its time.

        Parameters
        ----------
        event : Done
        actions : list of Action
        """
        lease = self._close_lease(event)
        if lease is None:
            return
        job = self._jobs[event.job]
        if 0.0 <= event.seconds < inf:
            self._fair_share.charge(job.owner, event.seconds - job.mean_s)
        job.lease_done(lease, event.seconds, actions)
        self._scheduler.settle(job, actions)
        if job.probe:
            self._pool.reserve(self._pool.workers[event.worker])
        self._check_next_lease(event.worker, actions)

    def failed(self, event: Failed, actions: list[Action]) -> None:
        """A block has failed: close its lease.

        Parameters
        ----------
        event : Failed
        actions : list of Action
        """
        lease = self._close_lease(event)
        if lease is None:
            return
        job = self._jobs[event.job]
        job.lease_failed(lease, event.error, actions, retry=event.retry, memory=event.memory)
        self._scheduler.settle(job, actions)
        self._check_next_lease(event.worker, actions)

    def _close_lease(self, event: Done | Failed) -> Assign | None:
        """The lease that an answer closes; None for a late or doubled answer."""
        lease = self._pool.take(event.worker, event.job, event.block, event.attempt)
        if lease is not None:
            self._scheduler.close(lease)
        return lease

    def _check_next_lease(self, worker: int, actions: list[Action]) -> None:
        """Kill a worker if its next lease belongs to a job that is to end."""
        if self._scheduler.stopping:
            self._scheduler.kill_if_stopping(self._pool.workers[worker], actions)
