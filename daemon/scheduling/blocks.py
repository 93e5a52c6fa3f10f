"""The blocks of one job: their states in a byte each, and everything that few blocks have in dicts.

::

                     no merge asked for
              +------------------------------+
              |                              v
    pending --+-> leased ---> merging ---> done          skipped: done before the job came
       ^            |  |        |  |
       +-- again ---+  |        |  +------> failed       tries used up, or the merge failed
     (returned, alone) +--------|---------> failed
                                v
    any of pending, leased, merging ------> cancelled    the job ended before

A job of a million blocks costs 1 MB. Blocks are drawn in order by a cursor; a block that comes
back goes to a queue that is drawn first. Few blocks have a second lease, a failure or a reason;
these are kept in dicts, and dropped when the block is final.
"""

from collections import deque
from collections.abc import Iterable

PENDING, LEASED, MERGING, DONE, SKIPPED, FAILED, CANCELLED = range(7)
"""States of a block, in order; those from `DONE` on are final."""

_MASK_TO_STATES = bytes([PENDING]) + bytes([SKIPPED]) * 255
_CANCEL_PENDING = bytes([CANCELLED]) + bytes(range(1, 256))


class BlockTable:
    """State and counts of the blocks ``0 .. count - 1`` of one job.

    Parameters
    ----------
    count : int
        Number of blocks, 0 or more.
    done : bytes, bytearray, iterable of int or None
        Blocks that are finished already, as a mask of `count` bytes or as numbers.

    Raises
    ------
    ValueError
        If `count` is negative, or `done` does not fit it.

    Notes
    -----
    `open` counts blocks from their first lease to their final state, so also those that came
    back and wait for another lease. A bound on it can't stop a block that came back, because that
    one is counted already. With blocks drawn in order, the lowest block that is not final is thus
    always either open or the next to draw with nothing open, and merging in order can't stall.
    """

    __slots__ = (
        "_attempts",
        "_cursor",
        "_failures",
        "alone",
        "cancelled",
        "done",
        "failed",
        "open",
        "reasons",
        "retries",
        "returned",
        "skipped",
        "states",
        "undrawn",
    )

    def __init__(self, count: int, done: bytes | bytearray | Iterable[int] | None = None) -> None:
        if count < 0:
            raise ValueError(f"a job can't have {count} blocks; give 0 or more")
        self.states = _states(count, done)
        self.skipped = self.states.count(SKIPPED)
        self.undrawn = count - self.skipped
        self.open = self.done = self.failed = self.cancelled = self.retries = 0
        self.returned: deque[int] = deque()
        self.alone: deque[int] = deque()  # those that came back, and must run with nothing beside them
        self.reasons: dict[int, str] = {}
        self._cursor = 0
        self._attempts: dict[int, int] = {}
        self._failures: dict[int, int] = {}

    def extend(self, count_more: int) -> None:
        """Append `count_more` pending blocks."""
        if count_more < 0:
            raise ValueError(f"can't append {count_more} blocks; give 0 or more")
        self.states.extend(bytes(count_more))
        self.undrawn += count_more

    @property
    def free(self) -> int:
        """Number of blocks that `draw` may lease."""
        return self.undrawn + len(self.returned)

    def draw(self) -> tuple[int, int]:
        """Lease the next block; those that came back go first. Returns ``(block, attempt)``.

        Call it only while ``returned or undrawn``.
        """
        if self.returned:
            block = self.returned.popleft()
            attempt = self._next_attempt(block)
        else:
            block = self._cursor
            if self.states[block] != PENDING:
                block = self.states.index(PENDING, block)
            self._cursor = block + 1
            self.undrawn -= 1
            self.open += 1
            attempt = 1
        self.states[block] = LEASED
        return block, attempt

    def draw_alone(self) -> tuple[int, int]:
        """Lease the next block of `alone`. Returns ``(block, attempt)``."""
        block = self.alone.popleft()
        self.states[block] = LEASED
        return block, self._next_attempt(block)

    def _next_attempt(self, block: int) -> int:
        attempt = self._attempts.get(block, 1) + 1
        self._attempts[block] = attempt
        return attempt

    def hold(self, block: int) -> None:
        """Let a leased block wait for its merge."""
        self.states[block] = MERGING

    def give_back(self, block: int, *, alone: bool = False) -> None:
        """Return a leased block, so that it waits for another lease.

        Parameters
        ----------
        block : int
        alone : bool
            Lease it only with no other block beside it.
        """
        self.states[block] = PENDING
        (self.alone if alone else self.returned).append(block)

    def count_failure(self, block: int) -> int:
        """Count one more failure of an open block. Returns their number."""
        failures = self._failures.get(block, 0) + 1
        self._failures[block] = failures
        return failures

    def finish(self, block: int) -> None:
        """Mark an open block as done."""
        self.states[block] = DONE
        self.done += 1
        self.open -= 1
        if self._attempts or self._failures:
            self._forget(block)

    def fail(self, block: int, reason: str) -> None:
        """Mark an open block as failed for good.

        Parameters
        ----------
        block : int
        reason : str
        """
        self.states[block] = FAILED
        self.reasons[block] = reason
        self.failed += 1
        self.open -= 1
        self._forget(block)

    def cancel(self, block: int) -> None:
        """Cancel a block that is leased or waits for its merge."""
        self.states[block] = CANCELLED
        self.cancelled += 1
        self.open -= 1
        self._forget(block)

    def cancel_pending(self) -> None:
        """Cancel all blocks that are not leased and have no result yet."""
        self.states = self.states.translate(_CANCEL_PENDING)
        returned_count = len(self.returned) + len(self.alone)
        self.cancelled += self.undrawn + returned_count
        self.open -= returned_count
        self.undrawn = 0
        self.returned.clear()
        self.alone.clear()

    def _forget(self, block: int) -> None:
        self._attempts.pop(block, None)
        self._failures.pop(block, None)


def _states(count: int, done: bytes | bytearray | Iterable[int] | None) -> bytearray:
    if isinstance(done, bytes | bytearray):
        if len(done) != count:
            raise ValueError(f"the mask of finished blocks has {len(done)} bytes for {count} blocks")
        return bytearray(done.translate(_MASK_TO_STATES))
    states = bytearray(count)
    for block in done or ():
        if not 0 <= block < count:
            raise ValueError(f"finished block {block} is not one of the job's blocks 0 to {count - 1}")
        states[block] = SKIPPED
    return states
