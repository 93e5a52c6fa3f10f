"""Input (events) and output (actions) of the coordinator.

A worker is a number, a job a name, a block its number in the order of the job's grid. `attempt`
counts the leases of a block from 1. Events and actions never cross a socket; the engine
translates messages to events and carries out actions.

All are msgspec Structs: one is made in 0.1 us, and a frozen one can be shared. Those that hold
scalars alone are kept out of the garbage collector, which would otherwise walk all open leases.
"""

from collections.abc import Hashable, Iterable
from typing import Literal

import msgspec

Outcome = Literal["done", "done_with_failures", "failed", "cancelled"]
OnError = Literal["fail", "finish"]


class BlockCounts(msgspec.Struct, frozen=True, gc=False):
    """The counts of one job; ``count`` is the sum of all others but ``retries``.

    ``skipped`` blocks were finished before the job was submitted, ``running`` ones are leased,
    ``waiting_merge`` ones have a result that is waiting for its merge or in it.
    """

    count: int
    pending: int
    running: int
    waiting_merge: int
    done: int
    skipped: int
    failed: int
    cancelled: int
    retries: int


# ------------------------------------------------------------------------------------ events


class Submit(msgspec.Struct, frozen=True):
    """A new job of `count` blocks.

    Parameters
    ----------
    retries : int
        Number of times that a failed block is tried again; a block has ``retries + 1`` tries.
    on_error : {"fail", "finish"}
        "fail": a block that used up its tries ends the job. "finish": only that block is marked.
    priority : int
        Higher goes first; among equals, the first submitted.
    merge : bool
        True if a block is finished only once the engine has merged its result.
    max_open : int or None
        Bound on the blocks that are leased, waiting for their merge or in it.
    parallel_merges : int
        Most merges at any time; ordered ones go one by one all the same.
    ordered : bool
        Merge in the order of the blocks instead of the order of the answers.
    done : bytes, bytearray, iterable of int or None
        Blocks that are finished already: a mask of `count` bytes, not 0 where finished, or
        the numbers of these blocks.
    sealed : bool
        False where `Extend` will append blocks; such a job does not end before it is sealed.
    block_timeout_s : float or None
        A block that runs longer has its worker killed, and has failed once more.
    owner : str
        The job's owner; owners of equal priority get equal shares of the workers' time.
    user : hashable
        The user that a worker becomes with its first lease; it does blocks of that user's jobs alone
        from then on. None: workers stay who they are, and do blocks of all such jobs.
    probe : bool
        True if another job follows at once when this one is done: its worker is reserved for that briefly.
    """

    job: str
    count: int
    retries: int = 2
    on_error: OnError = "fail"
    priority: int = 0
    merge: bool = False
    max_open: int | None = None
    parallel_merges: int = 1
    ordered: bool = False
    done: bytes | bytearray | Iterable[int] | None = None
    sealed: bool = True
    block_timeout_s: float | None = None
    owner: str = ""
    user: Hashable = None
    probe: bool = False


class Extend(msgspec.Struct, frozen=True, gc=False):
    """The job has `count_more` more blocks; with `sealed` these were the last."""

    job: str
    count_more: int
    sealed: bool = False


class Ready(msgspec.Struct, frozen=True, gc=False):
    """A worker is up and waits for blocks."""

    worker: int


class Expect(msgspec.Struct, frozen=True, gc=False):
    """So many workers are to be up; while some still start, the last blocks are kept for them."""

    workers: int


class Retire(msgspec.Struct, frozen=True, gc=False):
    """Give this worker no more leases; it finishes those that it has."""

    worker: int


class Done(msgspec.Struct, frozen=True, gc=False):
    """A worker finished a block, after `seconds` of work."""

    worker: int
    job: str
    block: int
    attempt: int
    seconds: float = 0.0


class Failed(msgspec.Struct, frozen=True, gc=False):
    """A worker could not do a block.

    `retry` is False if another try can't help; `memory` is True if there was too little memory.
    """

    worker: int
    job: str
    block: int
    attempt: int
    error: str
    retry: bool = True
    memory: bool = False


class Lost(msgspec.Struct, frozen=True, gc=False):
    """A worker has ended: it died, or the engine killed it as asked.

    `running` is the index, among its open leases, of the one that it was doing: that one has
    failed. It is -1 if there is none: the engine may know that answers were lost, or that the worker
    had not begun. `memory` is True if it died because it took too much memory.
    """

    worker: int
    reason: str
    running: int = 0
    memory: bool = False


class Merged(msgspec.Struct, frozen=True, gc=False):
    """The requested merge is done."""

    job: str
    block: int


class MergeFailed(msgspec.Struct, frozen=True, gc=False):
    """The requested merge has failed; this ends the job."""

    job: str
    block: int
    error: str


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """End this job now."""

    job: str
    reason: str = "cancelled on request"


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Start no more blocks of this job; those that run, and merges, go on."""

    job: str


class Resume(msgspec.Struct, frozen=True, gc=False):
    """Take a paused job up again."""

    job: str


class Reprioritise(msgspec.Struct, frozen=True, gc=False):
    """Let a job go before, or after, others."""

    job: str
    priority: int


class Drain(msgspec.Struct, frozen=True, gc=False):
    """Start no more blocks at all."""


class Undrain(msgspec.Struct, frozen=True, gc=False):
    """Start blocks again."""


class Allow(msgspec.Struct, frozen=True, gc=False):
    """At most `busy` workers, 1 or more, may hold leases; surplus ones finish theirs and get no more."""

    busy: int


class Tick(msgspec.Struct, frozen=True, gc=False):
    """The time, in seconds of a monotonic clock."""

    now_s: float


Event = (
    Submit
    | Extend
    | Ready
    | Expect
    | Retire
    | Done
    | Failed
    | Lost
    | Merged
    | MergeFailed
    | Cancel
    | Pause
    | Resume
    | Reprioritise
    | Drain
    | Undrain
    | Allow
    | Tick
)

# ----------------------------------------------------------------------------------- actions


class Assign(msgspec.Struct, frozen=True, gc=False):
    """Send this block to this worker; the action is the lease itself.

    `alone` means that no other worker holds a lease until this one is closed, for want of memory.
    """

    worker: int
    job: str
    block: int
    attempt: int
    alone: bool = False


class Merge(msgspec.Struct, frozen=True, gc=False):
    """Merge the result that this lease brought; answer `Merged` or `MergeFailed`."""

    worker: int
    job: str
    block: int
    attempt: int


class Drop(msgspec.Struct, frozen=True, gc=False):
    """Free the result that this lease brought, if it brought one: it will not be merged."""

    worker: int
    job: str
    block: int
    attempt: int


class Persist(msgspec.Struct, frozen=True, gc=False):
    """A block has its final state, for the journal. Cancelled blocks are reported by `Finish`."""

    job: str
    block: int
    state: Literal["done", "failed"]
    attempt: int
    reason: str = ""


class Attempted(msgspec.Struct, frozen=True, gc=False):
    """An attempt at a block failed, for the journal; `killed` is True if its worker died of it."""

    job: str
    block: int
    attempt: int
    worker: int
    reason: str
    memory: bool = False
    killed: bool = False


class Kill(msgspec.Struct, frozen=True, gc=False):
    """End this worker's process; answer `Lost` once it is gone. It gets nothing until then."""

    worker: int
    reason: str


class Replace(msgspec.Struct, frozen=True, gc=False):
    """End this worker once its leases are closed, so that a fresh one takes its place; it gets no more."""

    worker: int


class Finish(msgspec.Struct, frozen=True):
    """A job has ended, once and for all; `failed` are (block, reason), in order of block."""

    job: str
    outcome: Outcome
    reason: str
    failed: tuple[tuple[int, str], ...]
    counts: BlockCounts


class Notify(msgspec.Struct, frozen=True, gc=False):
    """A failed block, for people: it is tried again, or given up.

    A "quarantined" block was given up because its workers died of it; the job goes on.
    """

    job: str
    kind: Literal["retry", "given_up", "quarantined"]
    worker: int
    block: int
    attempt: int
    reason: str


class Reject(msgspec.Struct, frozen=True, gc=False):
    """A request about a job can't be met; nothing was changed."""

    job: str
    event: str
    reason: str


Action = Assign | Merge | Drop | Persist | Attempted | Kill | Replace | Finish | Notify | Reject
