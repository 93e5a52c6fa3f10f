"""One job as the coordinator sees it: its options, its blocks, its merges and its end.

A job knows nothing of workers and of other jobs. Its methods take in the result of a lease or of
a merge, and append the actions that follow to `actions`. The coordinator calls `settle` after the
last of them.
"""

from math import inf

from .blocks import BlockTable
from .events import (
    Action,
    Assign,
    Attempted,
    BlockCounts,
    Drop,
    Finish,
    Merge,
    Notify,
    Outcome,
    Persist,
    Submit,
)
from .merge_queue import ArrivalOrder, BlockOrder

MOST_CREDIT = 64
"""Leases a worker may hold of very short blocks."""
BACKLOG_S = 0.1
"""Work that a worker should hold: enough to hide the latency, too little to delay the job's end."""
_NEW_WEIGHT = 0.125
_CRASHES_TO_END = 3
"""Number of blocks set aside at which a job ends, if fewer blocks are done: then all of it crashes."""


class JobState:
    """A submitted job, from `Submit` until it is forgotten.

    Parameters
    ----------
    submit : Submit
        The event that brought it.
    number : int
        Number of jobs that came before it.
    least_credit : int
        See `Coordinator`.

    Raises
    ------
    ValueError
        If an option is out of bounds.
    """

    __slots__ = (
        "_least_credit",
        "_max_open",
        "_mean_s",
        "_merge",
        "_merge_queue",
        "_merging",
        "_on_error",
        "_parallel_merges",
        "_quarantined",
        "_retries",
        "block_timeout_s",
        "blocks",
        "credit",
        "ended",
        "name",
        "outcome",
        "owner",
        "paused",
        "priority",
        "probe",
        "queued",
        "rank",
        "reason",
        "sealed",
        "user",
    )

    def __init__(self, submit: Submit, number: int, least_credit: int) -> None:
        _check(submit)
        self.name = submit.job
        self.owner = submit.owner
        self.user = submit.user
        self.priority = submit.priority
        self.block_timeout_s = submit.block_timeout_s
        self.sealed = submit.sealed
        self.probe = submit.probe
        self.blocks = BlockTable(submit.count, submit.done)
        self.rank = (self.blocks.undrawn, number)  # small ones first
        self.credit = self._least_credit = least_credit
        self.outcome: Outcome | None = None  # set from when the job stops, not only from its end
        self.reason = ""
        self.ended = self.paused = False
        self.queued = False  # set by the coordinator
        self._retries = submit.retries
        self._on_error = submit.on_error
        self._max_open = inf if submit.max_open is None else submit.max_open
        self._merge = submit.merge
        self._parallel_merges = submit.parallel_merges
        self._merging: dict[int, Assign] = {}
        self._merge_queue = BlockOrder(self.blocks) if submit.ordered else ArrivalOrder()
        self._mean_s = -1.0
        self._quarantined = 0

    # ------------------------------------------------------------------------------- reading

    def can_start(self) -> bool:
        """True if a block may be leased now."""
        if self.paused or self.outcome is not None:
            return False
        blocks = self.blocks
        return bool(blocks.returned) or (blocks.undrawn > 0 and blocks.open < self._max_open)

    @property
    def startable(self) -> int:
        """Number of blocks that may be leased now, as far as this job is concerned."""
        if not self.can_start():
            return 0
        blocks = self.blocks
        return len(blocks.returned) + max(int(min(blocks.undrawn, self._max_open - blocks.open)), 0)

    @property
    def has_work(self) -> bool:
        """True if there are blocks to lease, now or once others are finished."""
        return self.outcome is None and not self.paused and self.blocks.free > 0

    def wants_to_be_alone(self) -> bool:
        """True if a block waits that must run with no other block beside it."""
        return bool(self.blocks.alone) and not self.paused and self.outcome is None

    @property
    def quiet(self) -> bool:
        """True if no block is leased, and no result is being merged or waits for that."""
        blocks = self.blocks
        return blocks.open == len(blocks.returned) + len(blocks.alone)

    @property
    def mean_s(self) -> float:
        """Estimated duration of a block in seconds; 0 while it is unknown."""
        return max(self._mean_s, 0.0)

    def counts(self) -> BlockCounts:
        """The counts, in constant time."""
        blocks = self.blocks
        merge_count = len(self._merge_queue) + len(self._merging)
        returned_count = len(blocks.returned) + len(blocks.alone)
        return BlockCounts(
            count=len(blocks.states),
            pending=blocks.undrawn + returned_count,
            running=blocks.open - merge_count - returned_count,
            waiting_merge=merge_count,
            done=blocks.done,
            skipped=blocks.skipped,
            failed=blocks.failed,
            cancelled=blocks.cancelled,
            retries=blocks.retries,
        )

    # ----------------------------------------------------------------------- ends of a lease

    def lease_done(self, lease: Assign, seconds: float, actions: list[Action]) -> None:
        """A worker finished the block.

        Parameters
        ----------
        lease : Assign
        seconds : float
            Duration of the attempt.
        actions : list of Action
            The actions that follow are appended.
        """
        blocks, block = self.blocks, lease.block
        self._learn(seconds)
        if not self._merge:
            blocks.finish(block)
            actions.append(Persist(lease.job, block, "done", lease.attempt))
        elif self.outcome is None:
            blocks.hold(block)
            self._merge_queue.push(lease)
        else:
            blocks.cancel(block)
            actions.append(_drop(lease))

    def lease_failed(
        self,
        lease: Assign,
        reason: str,
        actions: list[Action],
        *,
        retry: bool = True,
        memory: bool = False,
        killed: bool = False,
    ) -> None:
        """A worker could not do the block, or died of it: it is tried again, or fails for good.

        Parameters
        ----------
        lease : Assign
        reason : str
        actions : list of Action
            The actions that follow are appended.
        retry : bool
            False if another try can't help.
        memory : bool
            There was too little memory for it.
        killed : bool
            Its worker died of it.
        """
        blocks, block = self.blocks, lease.block
        failures = blocks.count_failure(block)
        actions.append(
            Attempted(self.name, block, lease.attempt, lease.worker, reason, memory=memory, killed=killed)
        )
        if retry and failures <= self._retries:
            if self.outcome is None:
                blocks.retries += 1
                actions.append(Notify(self.name, "retry", lease.worker, block, lease.attempt, reason))
            self.lease_returned(lease, alone=memory)
            return
        blocks.fail(block, reason)
        self._quarantined += killed
        end_reason = self._end_reason(block, failures, reason, killed)
        kind = "quarantined" if killed and end_reason is None else "given_up"
        actions.append(Persist(self.name, block, "failed", lease.attempt, reason))
        actions.append(Notify(self.name, kind, lease.worker, block, lease.attempt, reason))
        if end_reason is not None:
            self.stop("failed", end_reason, actions)

    def _end_reason(self, block: int, failures: int, reason: str, killed: bool) -> str | None:
        """The reason why a failed block ends the job, or None if it does not."""
        if self._on_error == "finish":
            return None
        if not killed:
            tries = "try" if failures == 1 else "tries"
            return f"block {block} failed in {failures} {tries}: {reason}"
        if self._quarantined >= _CRASHES_TO_END and self._quarantined > self.blocks.done:
            return (
                f"{self._quarantined} blocks were set aside because their workers died, more than were "
                f"finished; the last one, block {block}: {reason}"
            )
        return None

    def lease_returned(self, lease: Assign, *, alone: bool = False) -> None:
        """A block was not done: it waits for another lease.

        Parameters
        ----------
        lease : Assign
        alone : bool
            Lease it only with no other block beside it.
        """
        if self.outcome is None:
            self.blocks.give_back(lease.block, alone=alone or lease.alone)
        else:
            self.blocks.cancel(lease.block)

    def _learn(self, seconds: float) -> None:
        """Adapt the credit to the time of a block; it grows by one at a time."""
        if not 0.0 <= seconds < inf:
            return  # a worker with a broken clock does not stop the job
        mean = self._mean_s
        self._mean_s = mean = seconds if mean < 0 else mean + (seconds - mean) * _NEW_WEIGHT
        credit = self.credit
        if mean * credit > BACKLOG_S:
            self.credit = max(self._least_credit, int(BACKLOG_S / mean))
        elif credit < MOST_CREDIT and mean * (credit + 1) <= BACKLOG_S:
            self.credit = credit + 1

    # ------------------------------------------------------------------------ ends of a merge

    def merged(self, block: int, actions: list[Action]) -> bool:
        """The merge of a block has ended well.

        Parameters
        ----------
        block : int
        actions : list of Action
            The actions that follow are appended.

        Returns
        -------
        bool
            False if no such merge runs.
        """
        lease = self._end_merge(block)
        if lease is None:
            return False
        self.blocks.finish(block)
        actions.append(Persist(self.name, block, "done", lease.attempt))
        return True

    def merge_failed(self, block: int, error: str, actions: list[Action]) -> bool:
        """The merge of a block failed, and so the job.

        Parameters
        ----------
        block : int
        error : str
            The reason.
        actions : list of Action
            The actions that follow are appended.

        Returns
        -------
        bool
            False if no such merge runs.
        """
        lease = self._end_merge(block)
        if lease is None:
            return False
        if self.outcome is not None:  # it ends anyway, perhaps for just that reason
            self.blocks.cancel(block)
            return True
        reason = f"the merge failed: {error}"
        self.blocks.fail(block, reason)
        actions.append(Persist(self.name, block, "failed", lease.attempt, reason))
        self.stop("failed", f"block {block}: {reason}", actions)
        return True

    def _end_merge(self, block: int) -> Assign | None:
        return self._merging.pop(block, None)

    # ---------------------------------------------------------------------------------- ends

    def stop(self, outcome: Outcome, reason: str, actions: list[Action]) -> None:
        """End the job early: cancel all blocks except those that are leased or being merged.

        A job that is stopping already keeps its first outcome.

        Parameters
        ----------
        outcome : str
            The outcome of the job.
        reason : str
        actions : list of Action
            The actions that follow are appended.
        """
        if self.outcome is not None:
            return
        self.outcome, self.reason = outcome, reason
        for lease in self._merge_queue.clear():
            self.blocks.cancel(lease.block)
            actions.append(_drop(lease))
        self.blocks.cancel_pending()

    def settle(self, actions: list[Action]) -> None:
        """Start the next merges, and end the job if nothing is open any more."""
        while len(self._merging) < self._parallel_merges and (lease := self._merge_queue.pop()) is not None:
            self._merging[lease.block] = lease
            actions.append(Merge(lease.worker, lease.job, lease.block, lease.attempt))
        blocks = self.blocks
        if blocks.open or blocks.undrawn or not (self.sealed or self.outcome is not None):
            return
        if self.outcome is None:
            self.outcome = "done_with_failures" if blocks.failed else "done"
        self.ended = True
        failed = tuple(sorted(blocks.reasons.items()))
        actions.append(Finish(self.name, self.outcome, self.reason, failed, self.counts()))


def _drop(lease: Assign) -> Drop:
    return Drop(lease.worker, lease.job, lease.block, lease.attempt)


def _check(submit: Submit) -> None:
    name = f"job {submit.job!r}"
    if submit.retries < 0:
        raise ValueError(f"{name}: retries is {submit.retries}; give 0 or more")
    if submit.on_error not in ("fail", "finish"):
        raise ValueError(f"{name}: on_error is {submit.on_error!r}; give 'fail' or 'finish'")
    if submit.max_open is not None and submit.max_open < 1:
        raise ValueError(f"{name}: max_open is {submit.max_open}; give 1 or more, or None for no bound")
    if submit.parallel_merges < 1:
        raise ValueError(f"{name}: parallel_merges is {submit.parallel_merges}; give 1 or more")
    if submit.block_timeout_s is not None and not submit.block_timeout_s > 0:
        raise ValueError(f"{name}: block_timeout_s is {submit.block_timeout_s}; give more than 0, or None")
