"""Results of one job that wait for their merge, in one of two orders."""

from collections import deque

from .blocks import DONE, BlockTable
from .events import Assign


class ArrivalOrder:
    """Results in the order in which they came."""

    __slots__ = ("_leases",)

    def __init__(self) -> None:
        self._leases: deque[Assign] = deque()

    def __len__(self) -> int:
        return len(self._leases)

    def push(self, lease: Assign) -> None:
        """Add the result that this lease brought."""
        self._leases.append(lease)

    def pop(self) -> Assign | None:
        """Take the result to merge next out, None if there is none yet."""
        return self._leases.popleft() if self._leases else None

    def clear(self) -> list[Assign]:
        """Take all out."""
        leases = list(self._leases)
        self._leases.clear()
        return leases


class BlockOrder:
    """Results in the order of block numbers.

    The next one is that of the lowest block that is not final; failed and skipped blocks are passed over.
    """

    __slots__ = ("_blocks", "_leases", "_next")

    def __init__(self, blocks: BlockTable) -> None:
        self._blocks = blocks
        self._next = 0
        self._leases: dict[int, Assign] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def push(self, lease: Assign) -> None:
        """Add the result that this lease brought."""
        self._leases[lease.block] = lease

    def pop(self) -> Assign | None:
        """Take the result to merge next out, None if there is none yet."""
        if not self._leases:
            return None
        states, block = self._blocks.states, self._next
        while states[block] >= DONE:
            block += 1
        self._next = block
        return self._leases.pop(block, None)

    def clear(self) -> list[Assign]:
        """Take all out."""
        leases = list(self._leases.values())
        self._leases.clear()
        return leases
