"""What the coordinator is told, and what it wants done.

Events say what has happened, actions what the shell around the coordinator must do. All
are small immutable records; blocks are numbers from 0, times are seconds of the shell's
own monotonic clock.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """Base of events."""


class Action(msgspec.Struct, frozen=True, gc=False):
    """Base of actions."""


# -- events -------------------------------------------------------------------------


class Submit(Event, frozen=True):
    """A new job of `count` blocks.

    Attributes
    ----------
    retries : int
        Further attempts at a block that failed.
    on_error : {"fail", "finish"}
        Whether one failed block ends the job, or the rest goes on.
    priority : int
        Higher goes first.
    merge : bool
        Whether results need a merge before their block counts as finished.
    max_open : int or None
        Most blocks that are drawn but not finished: the bound on memory.
    parallel_merges : int
        Most merges of this job at any time.
    ordered : bool
        Merge in the order of block numbers, not of arrival.
    done : bytes
        One byte a block, not 0 where it is finished already; empty for none.
    sealed : bool
        False: `Extend` will bring more blocks.
    block_timeout_s : float or None
        Longest time for one attempt.
    """

    job: str
    count: int
    retries: int = 2
    on_error: str = "fail"
    priority: int = 0
    merge: bool = False
    max_open: int | None = None
    parallel_merges: int = 1
    ordered: bool = False
    done: bytes = b""
    sealed: bool = True
    block_timeout_s: float | None = None


class Extend(Event, frozen=True):
    """`count` blocks more for an unsealed job; `sealed` says that these are the last."""

    job: str
    count: int
    sealed: bool


class Ready(Event, frozen=True):
    """A worker is up."""

    worker: int


class Retire(Event, frozen=True):
    """A worker is to get nothing new."""

    worker: int


class Done(Event, frozen=True):
    """A worker has finished a block, in `seconds`."""

    worker: int
    job: str
    block: int
    attempt: int
    seconds: float


class Failed(Event, frozen=True):
    """An attempt at a block failed; without `retry`, another would too."""

    worker: int
    job: str
    block: int
    attempt: int
    error: str
    retry: bool = True


class Lost(Event, frozen=True):
    """A worker is dead."""

    worker: int
    reason: str


class Merged(Event, frozen=True):
    """The merge that was asked for is done."""

    job: str
    block: int


class MergeFailed(Event, frozen=True):
    """The merge that was asked for failed; the job can't go on."""

    job: str
    block: int
    error: str


class Cancel(Event, frozen=True):
    """End a job."""

    job: str


class Pause(Event, frozen=True):
    """Assign nothing of a job until `Resume`."""

    job: str


class Resume(Event, frozen=True):
    """Take a paused job up again."""

    job: str


class Drain(Event, frozen=True):
    """Assign nothing new at all; what is leased is awaited."""


class Tick(Event, frozen=True):
    """Time goes by."""

    now_s: float


# -- actions ------------------------------------------------------------------------


class Assign(Action, frozen=True):
    """Give a block to a worker: this is its lease."""

    worker: int
    job: str
    block: int
    attempt: int


class Merge(Action, frozen=True):
    """Merge the result of a block, then say `Merged` or `MergeFailed`."""

    job: str
    block: int


class Kill(Action, frozen=True):
    """End a worker; `Lost` is expected to follow."""

    worker: int
    reason: str


class Finish(Action, frozen=True):
    """A job is over.

    `outcome` is "done", "done_with_failures", "failed" or "cancelled"; `failures` holds
    (block, reason); `cause` says why it ended early.
    """

    job: str
    outcome: str
    failures: list[tuple[int, str]]
    cause: str = ""


class Notify(Action, frozen=True):
    """Something that people may want to know; `block` is None where it is about the job."""

    job: str
    block: int | None
    text: str


class Reject(Action, frozen=True):
    """An order can't be carried out."""

    job: str
    reason: str
