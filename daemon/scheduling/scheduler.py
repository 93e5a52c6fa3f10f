"""Choice of the worker for each block, and of workers to end: for another user, or with their job.

The scheduler keeps three sets of jobs: those that may have a block to give, those with a block that
must run alone, and those that are stopping. `settle` moves a job between them after each change of it.
Only `assign` gives leases.
"""

from collections.abc import Hashable

from .events import Action, Assign, Kill, Replace
from .fair_share import FairShare
from .job import JobState
from .replacements import Replacements
from .teams import WorkerState
from .workers import WorkerPool


class Scheduler:
    """Decides which job gives the next block and which worker takes it.

    Parameters
    ----------
    least_credit : int
        See `Coordinator`.
    """

    def __init__(self, least_credit: int) -> None:
        self.pool = WorkerPool(least_credit)
        self.fair_share = FairShare()
        self._replacements = Replacements(self.pool, self.fair_share)
        self.stopping: dict[str, JobState] = {}  # jobs that end once their leases are closed
        self.draining = False
        self._wanting_alone: dict[str, JobState] = {}
        self._alone: Assign | None = None  # the lease beside which there is no other

    def assign(self, actions: list[Action]) -> None:
        """Lease blocks while there is one to give and room for it."""
        if self.draining or self._alone is not None:
            return
        if self._wanting_alone and (job := self._next_alone()) is not None:
            self._assign_alone(job, actions)
            return
        pool, fair_share = self.pool, self.fair_share
        passed_over: tuple[Hashable, ...] = ()  # users for whom no worker has room
        wanted = 0  # blocks of theirs that wait for a worker
        while (job := fair_share.choose(passed_over)) is not None:
            worker = pool.with_room(job, job.credit)
            if worker is None or (pool.kept_blocks and worker.leases and job.blocks.free <= pool.kept_blocks):
                # Nobody has room, or the last blocks are for workers that still start. A job that finds no
                # room keeps the ones behind it waiting, too: else short blocks of theirs would take each
                # place that comes free before it counts as room for this one.
                if not pool.several or pool.held_back(job.user):
                    return
                passed_over += (job.user,)  # other users have other workers
                if worker is None:
                    wanted += job.startable
                    self._replace_for(job, wanted, actions)
                continue
            block, attempt = job.blocks.draw()
            lease = Assign(worker.number, job.name, block, attempt)
            pool.give(worker, lease, job)
            fair_share.charge(job.owner, job.mean_s)
            actions.append(lease)

    def _replace_for(self, job: JobState, wanted: int, actions: list[Action]) -> None:
        """Have workers of other users replaced by fresh ones, as far as this job's owner has a right to them.

        Parameters
        ----------
        job : JobState
        wanted : int
            Number of fresh workers for which there is a block.
        actions : list of Action
            The actions that follow are appended.
        """
        while (coming := self.pool.coming) < wanted:
            worker = self._replacements.choose(job, coming)
            if worker is None:
                return
            self._replace(worker, actions)

    def _replace(self, worker: WorkerState, actions: list[Action]) -> None:
        self.pool.withhold(worker)
        actions.append(Replace(worker.number))

    def _next_alone(self) -> JobState | None:
        return next((job for job in self._wanting_alone.values() if job.wants_to_be_alone()), None)

    def _assign_alone(self, job: JobState, actions: list[Action]) -> None:
        """Lease a block that must run alone, once no worker is busy."""
        if self.pool.busy:
            return
        worker = self.pool.with_room(job, 1)
        if worker is None:
            if not self.pool.coming and (idle := self._replacements.idle_of_others(job.user)) is not None:
                self._replace(idle, actions)
            return
        block, attempt = job.blocks.draw_alone()
        self._alone = lease = Assign(worker.number, job.name, block, attempt, alone=True)
        self.pool.give(worker, lease, job)
        actions.append(lease)

    def welcome(self, job: JobState) -> None:
        """Take in a job that was submitted."""
        self.pool.welcome(job)
        self._replacements.add(job)

    def tick(self) -> None:
        """Note that some time has passed."""
        self.pool.tick()
        if self.pool.several:
            self._replacements.tick()

    def close(self, lease: Assign) -> None:
        """Note that a lease is over, for whatever reason."""
        if lease is self._alone:
            self._alone = None

    def settle(self, job: JobState, actions: list[Action]) -> None:
        """Update the scheduler's sets after a change of a job.

        Parameters
        ----------
        job : JobState
        actions : list of Action
            The actions that follow are appended.
        """
        job.settle(actions)
        if job.blocks.alone:
            self._wanting_alone[job.name] = job
        else:
            self._wanting_alone.pop(job.name, None)
        if job.outcome is not None:
            self._follow_end(job, actions)
        elif not job.queued and job.can_start():
            self.fair_share.add(job)

    def _follow_end(self, job: JobState, actions: list[Action]) -> None:
        if job.queued:
            self.fair_share.remove(job)
        if job.ended:
            self.stopping.pop(job.name, None)
            self._replacements.remove(job)
        elif job.name not in self.stopping:
            self.stopping[job.name] = job
            for worker in self.pool.workers.values():
                self.kill_if_stopping(worker, actions)

    def kill(self, worker: WorkerState, reason: str, actions: list[Action]) -> None:
        """Have a worker killed because of the lease that it runs; that one has failed once it is lost.

        Parameters
        ----------
        worker : WorkerState
        reason : str
        actions : list of Action
            The actions that follow are appended.
        """
        self.pool.withhold(worker)
        worker.target, worker.kill_reason = worker.leases[0], reason
        actions.append(Kill(worker.number, reason))

    def kill_if_stopping(self, worker: WorkerState, actions: list[Action]) -> None:
        """Kill a worker that runs a block of a job that is to end.

        Parameters
        ----------
        worker : WorkerState
        actions : list of Action
            The actions that follow are appended.
        """
        if worker.leases and worker.target is None:
            job = self.stopping.get(worker.leases[0].job)
            if job is not None:
                self.kill(worker, f"job {job.name!r} ends as {job.outcome}: {job.reason}", actions)
