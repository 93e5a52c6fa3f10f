r"""The blocks of one job: which are drawn, out, waiting to be merged, finished.

::

    pending --draw--> leased --done--> arrived --merge--> merging --merged--> finished
       ^                |  \__________(no merge needed)________________________^
       |                |
       +---- waiting <--+ failed or lost, attempts left;   none left --> failed

One byte a block; whatever is rare (attempts, reasons) is kept only while it is needed. A
block is *open* from when it is first drawn until it is finished or failed: it keeps its
place while it waits for another attempt, so a bounded, ordered job can't lock itself up.
"""

from __future__ import annotations

from collections import deque

from .events import Submit

PENDING, OUT, ARRIVED, FINISHED, FAILED = range(5)

_LONG_S = 0.05
_SHORT_S = 0.005
_MEMORY_OF_MEAN = 0.8


class JobBlocks:
    """State of one job; every change of it goes through these verbs."""

    def __init__(self, order: Submit, rank: int) -> None:
        self.order = order
        self.name = order.job
        self.rank = (-order.priority, rank)
        self.sealed = order.sealed
        self.paused = False
        self.ending: str | None = None  # the outcome, once nothing more is to be drawn
        self.over = False  # that the job is finished has been told
        self.cause = ""
        self.failures: dict[int, str] = {}
        self.leased = 0
        self.open = 0
        self.finished = 0
        self.skipped = 0
        self.retries = 0
        self.merging: set[int] = set()
        self._state = bytearray(order.count)
        self._cursor = 0
        self._turn = 0  # next to be merged, in an ordered job
        self._waiting: deque[int] = deque()
        self._arrived: deque[int] = deque()
        self._attempts: dict[int, int] = {}
        self._failed_attempts: dict[int, int] = {}
        self._mean_s = -1.0
        self._limit = order.max_open if order.max_open is not None else -1
        self._skip(order.done)

    def _skip(self, done: bytes) -> None:
        for block, is_done in enumerate(done[: len(self._state)]):
            if is_done:
                self._state[block] = FINISHED
                self.skipped += 1

    @property
    def count(self) -> int:
        """Blocks so far."""
        return len(self._state)

    def extend(self, count: int, sealed: bool) -> None:
        """Append pending blocks."""
        self._state.extend(bytes(count))
        self.sealed = sealed

    @property
    def credit(self) -> int:
        """Leases that a worker may hold.

        Several short blocks at once hide the way there and back. Of long ones a worker gets
        one at a time, so that none waits behind another while a worker is idle.
        """
        if self._mean_s < 0 or self._mean_s > _LONG_S:
            return 1
        return 16 if self._mean_s < _SHORT_S else 3

    def time(self, seconds: float) -> None:
        """Take a block's time into the running mean."""
        mean = self._mean_s
        self._mean_s = seconds if mean < 0 else mean + (1 - _MEMORY_OF_MEAN) * (seconds - mean)

    # -- drawing --------------------------------------------------------------------

    def draw(self) -> int:
        """The next block to lease, or -1; blocks that wait for another attempt come first."""
        if self.paused or self.ending is not None:
            return -1
        if self._waiting:
            return self._waiting.popleft()
        if self._limit >= 0 and self.open >= self._limit:
            return -1
        state, cursor = self._state, self._cursor
        while cursor < len(state) and state[cursor]:
            cursor += 1
        self._cursor = cursor
        if cursor == len(state):
            return -1
        self._cursor = cursor + 1
        self.open += 1
        return cursor

    def lease(self, block: int) -> int:
        """Note that a block is out; the number of this attempt, counted over its leases."""
        self._state[block] = OUT
        self.leased += 1
        attempt = self._attempts[block] = self._attempts.get(block, 0) + 1
        return attempt

    def put_back(self, block: int) -> None:
        """A lease ended without an attempt; the block waits for another lease."""
        self.leased -= 1
        self._waiting.append(block)

    # -- ends of a lease ------------------------------------------------------------

    def arrive(self, block: int) -> None:
        """A lease ended well."""
        self.leased -= 1
        if self.ending is not None:
            return
        if self.order.merge:
            self._state[block] = ARRIVED
            self._arrived.append(block)
        else:
            self._close(block, FINISHED)

    def fail(self, block: int, reason: str, retry: bool) -> bool:
        """A lease ended badly; whether the block will be tried again."""
        self.leased -= 1
        failed = self._failed_attempts[block] = self._failed_attempts.get(block, 0) + 1
        if retry and failed <= self.order.retries:
            self.retries += 1
            self._waiting.append(block)
            return True
        self.failures[block] = reason
        self._close(block, FAILED)
        return False

    def failed_attempts(self, block: int) -> int:
        """How often a block has failed."""
        return self._failed_attempts.get(block, 0)

    def _close(self, block: int, state: int) -> None:
        self._state[block] = state
        self.open -= 1
        self.finished += state == FINISHED
        self._attempts.pop(block, None)
        if self._failed_attempts:
            self._failed_attempts.pop(block, None)

    # -- merging --------------------------------------------------------------------

    def next_merge(self) -> int:
        """Begin the next merge: its block, or -1 where none may begin."""
        if not self._arrived or self.ending is not None or len(self.merging) >= self.order.parallel_merges:
            return -1
        block = self._next_in_order() if self.order.ordered else self._arrived.popleft()
        if block >= 0:
            self.merging.add(block)
        return block

    def _next_in_order(self) -> int:
        while self._turn < len(self._state) and self._state[self._turn] in (FINISHED, FAILED):
            self._turn += 1
        if self._turn in self.merging or self._state[self._turn] != ARRIVED:
            return -1
        self._arrived.remove(self._turn)
        return self._turn

    def merged(self, block: int) -> None:
        """A merge is done."""
        self.merging.remove(block)
        self._close(block, FINISHED)

    def merge_failed(self, block: int, error: str) -> None:
        """A merge failed."""
        self.merging.remove(block)
        self.failures[block] = error
        self._close(block, FAILED)

    # -- the end --------------------------------------------------------------------

    def end(self, outcome: str, cause: str) -> None:
        """Draw and merge nothing any more."""
        self.ending, self.cause = outcome, cause
        self._waiting.clear()
        self._arrived.clear()

    def outcome(self) -> str | None:
        """How the job has ended; None while it has not."""
        if self.leased or self.merging:
            return None
        if self.ending is not None:
            return self.ending
        if not self.sealed or self.open or self.finished + self.skipped + len(self.failures) < self.count:
            return None
        return "done_with_failures" if self.failures else "done"
