"""Where it is noted that a block is finished: beside the block itself, or in a ledger beside the output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ....shared.errors import OutputRefused
from ....shared.geometry.grid import BlockGrid
from ....shared.volumes.base.format import NewVolume, StatusFormat
from ....shared.volumes.registry import Address

CompareBlocks = Callable[[Address, Path, bytes], bytes]
"""Compares blocks of the volume at an address with a ledger: those with a 1 in a map, one byte a block.
Returns the map of those that agree."""


class Completion(Protocol):
    """What is finished of an output.

    Attributes
    ----------
    place : Address
        Where blocks are written.
    in_blocks : bool
        True if workers find out themselves which blocks an earlier run has finished.
    """

    @property
    def place(self) -> Address: ...
    @property
    def in_blocks(self) -> bool: ...

    def begun(self) -> bool:
        """True if an earlier run has left something."""
        ...

    def has_finished_blocks(self) -> bool:
        """True if any block is finished; False only if it is certain that none is."""
        ...

    def count_finished(self, grid: BlockGrid, most: int) -> int | None:
        """Number of finished task blocks, without a look at voxels; None if there are more than `most`."""
        ...

    def written_by(self, job: str) -> bool:
        """Test if a block names this job."""
        ...

    def start(self, *, reserve: bool) -> None:
        """Make an empty volume; of an earlier run nothing is left by then but what is unfinished."""
        ...

    def go_on(self, compare: CompareBlocks, tell: Callable[[str], None]) -> bytes:
        """Take up what an earlier run has left.

        Parameters
        ----------
        compare : callable
        tell : callable
            Takes a sentence about blocks that are done again although they were there.

        Returns
        -------
        bytes
            Map of finished blocks, one byte a block; empty: workers find out.

        Raises
        ------
        OutputRefused
            If it is no longer what this job wrote, or can't be read just now.
        """
        ...

    def note(self, block: int, crc32: int) -> None:
        """Note that a block is finished.

        Parameters
        ----------
        block : int
            Number of the block.
        crc32 : int
            Checksum of its voxels, in C order.
        """
        ...

    def finish(self, compare: CompareBlocks) -> None:
        """Give the output its name, after its last block.

        Raises
        ------
        OutputRefused
            If something has come to lie at that name, or in place of the output.
        StorageError
            If the output is not whole.
        """
        ...

    def close(self) -> None:
        """Close what is open; finished blocks stay for a later run."""
        ...


class StatusCompletion:
    """The volume itself notes beside each block that it is finished; it has its name from the beginning.

    Parameters
    ----------
    kind : StatusFormat
    at : Address
    new : NewVolume
    """

    in_blocks = True

    def __init__(self, kind: StatusFormat, at: Address, new: NewVolume) -> None:
        self.place = at
        self._kind = kind
        self._new = new
        self._root: tuple[int, int] | None = None

    def begun(self) -> bool:
        """True if the description of an earlier run is there."""
        return Path(self.place.file).exists()

    def has_finished_blocks(self) -> bool:
        """True if a block is there."""
        return self._kind.has_finished_blocks(self.place)

    def count_finished(self, grid: BlockGrid, most: int) -> int | None:
        """Number of task blocks whose stored blocks are all there."""
        return self._kind.count_finished(self.place, grid, most)

    def written_by(self, job: str) -> bool:
        """Test if a block names this job: the volume may have been moved without its record."""
        return self._kind.written_by(self.place, job)

    def start(self, *, reserve: bool) -> None:
        """Make the volume; the blocks come from the workers."""
        self._kind.create(self.place, self._new, reserve=reserve)
        self._root = self._kind.place_of_blocks(self.place).own

    def go_on(self, compare: CompareBlocks, tell: Callable[[str], None]) -> bytes:
        """Check the layout. The workers find out themselves which blocks are finished."""
        self._kind.take_up(self.place, self._new)
        self._root = self._kind.place_of_blocks(self.place).own
        return b""

    def note(self, block: int, crc32: int) -> None:
        """Do nothing: who has written the block has noted it."""

    def finish(self, compare: CompareBlocks) -> None:
        """Check that the folder of the blocks is the one that they were written to."""
        root = self._kind.place_of_blocks(self.place)
        if root.own != self._root:
            raise OutputRefused(
                f"{root.path} was exchanged while this job ran, so blocks may be missing; put the folder "
                "back, then run this again"
            )

    def close(self) -> None:
        """Do nothing: no file is open."""
