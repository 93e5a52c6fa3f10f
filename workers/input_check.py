"""The check of an input that a job of ours wrote: its stored blocks against what that job recorded.

Each stored block is checked once a job, by the task in whose part of the volume it begins, and only
if that task reads all of it; so the check reads no voxel that the task does not need.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..shared.errors import CorruptBlock, DamagedInput, StorageError
from ..shared.files.checksum import crc32_of
from ..shared.geometry.grid import BlockGrid
from ..shared.geometry.roi import Roi, Shape
from ..shared.messages import engine as wire
from ..shared.volumes.base.api import RecordedVolume, Volume
from ..shared.volumes.ledger import Ledger


class NoCheck:
    """Nothing is checked; the base of the checks."""

    def before_read(self, kept_roi: Roi, read_roi: Roi) -> int:
        """Check the files of the blocks that a task reads whole.

        Parameters
        ----------
        kept_roi : Roi
            The part of the volume that belongs to the task, without halo, in voxels of the volume.
        read_roi : Roi
            The part that it reads.

        Returns
        -------
        int
            Number of blocks that have no record to check them by.

        Raises
        ------
        DamagedInput
            If a block does not agree with its record.
        """
        return 0

    def after_read(self, kept_roi: Roi, read_roi: Roi, voxels: NDArray[Any]) -> int:
        """Check the voxels that a task has read.

        Parameters
        ----------
        kept_roi, read_roi
            As for `before_read`.
        voxels : ndarray of shape ``read_roi.shape``

        Returns
        -------
        int
            As from `before_read`.

        Raises
        ------
        DamagedInput
            If a block does not agree with its record.
        """
        return 0

    def close(self) -> None:
        """Close what is open."""


class FilesetInputCheck(NoCheck):
    """Checks block files by size and checksum against their status records.

    Packed files are checked before they are read, so that the message is about the damage and not about
    what the unpacking stumbles over. Of files with plain voxels those in memory are checked, with the few
    other bytes of the file: to read it a second time would cost a copy a fifth more time.
    """

    def __init__(self, source: Volume, fileset: RecordedVolume) -> None:
        self._source = source
        self._records = fileset.records
        self._is_plain = fileset.records.voxels_tell

    def before_read(self, kept_roi: Roi, read_roi: Roi) -> int:
        """Check the files of the blocks that a task reads whole; see `NoCheck`."""
        if self._is_plain:
            return 0
        return sum(
            self._check_file(block) for block, _ in _begun_and_whole(self._records.grid, kept_roi, read_roi)
        )

    def after_read(self, kept_roi: Roi, read_roi: Roi, voxels: NDArray[Any]) -> int:
        """Check the voxels of the blocks that a task has read whole; see `NoCheck`."""
        if not self._is_plain:
            return 0
        unrecorded = 0
        for block, _ in _begun_and_whole(self._records.grid, kept_roi, read_roi):
            part = voxels if block == read_roi else voxels[block.relative_to(read_roi.start).to_slice()]
            if not self._records.agrees(block.start, part):
                unrecorded += self._check_file(block)
        return unrecorded

    def _check_file(self, block: Roi) -> int:
        records = self._records
        try:
            verdict, _ = records.check_block(block.start)
        except CorruptBlock as error:
            raise _damaged(self._source, block, records.block_file(block.start), str(error)) from error
        return int(verdict == "unchecked")


class MergedInputCheck(NoCheck):
    """Checks the blocks from which one file was merged against the ledger that lies beside it."""

    def __init__(self, volume: Volume, ledger_path: str, block_shape: tuple[int, ...]) -> None:
        self._volume = volume
        self._grid = BlockGrid(Roi.from_shape(volume.shape), block_shape)
        try:
            self._ledger = Ledger(Path(ledger_path), len(self._grid), writable=False)
        except OSError as error:
            raise StorageError(
                f"could not open {ledger_path}, the checksums of the input: {error.strerror}; "
                "check_input: false reads it unchecked"
            ) from error

    def after_read(self, kept_roi: Roi, read_roi: Roi, voxels: NDArray[Any]) -> int:
        """Check the voxels of the blocks that a task has read whole; see `NoCheck`."""
        unrecorded = 0
        for block, index in _begun_and_whole(self._grid, kept_roi, read_roi):
            crc32 = self._ledger.crc_of(self._grid.number_of(index))
            if crc32 is None:
                unrecorded += 1
            elif crc32_of(voxels[block.relative_to(read_roi.start).to_slice()]) != crc32:
                raise _damaged(self._volume, block, self._volume.address, "checksum differs")
        return unrecorded

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()


def input_check(plan: wire.InputCheck | None, source: Volume) -> NoCheck:
    """The check of an opened input.

    Parameters
    ----------
    plan : InputCheck or None
        As the recipe has it.
    source : Volume

    Returns
    -------
    NoCheck
        Or one of its subclasses.
    """
    if plan is None:
        return NoCheck()
    if plan.ledger is not None:
        return MergedInputCheck(source, plan.ledger, plan.block_shape)
    return FilesetInputCheck(source, source) if isinstance(source, RecordedVolume) else NoCheck()


def _begun_and_whole(grid: BlockGrid, kept_roi: Roi, read_roi: Roi) -> Iterator[tuple[Roi, Shape]]:
    """The blocks, with their positions in the grid, that begin in one roi and lie in the other as a whole."""
    axes = [
        _indices(*extents)
        for extents in zip(
            kept_roi.start, kept_roi.stop, read_roi.stop, grid.block_shape, grid.roi.stop, strict=True
        )
    ]
    for index in itertools.product(*axes):
        start = tuple(i * n for i, n in zip(index, grid.block_shape, strict=True))
        stop = tuple(
            min(a + n, end) for a, n, end in zip(start, grid.block_shape, grid.roi.stop, strict=True)
        )
        yield Roi.trusted(start, stop), index


def _indices(begin: int, end: int, read_end: int, block: int, extent: int) -> range:
    """On one axis, the blocks that begin in ``[begin, end)`` and end at `read_end` at the latest."""
    last = -(-end // block) if read_end >= extent else min(-(-end // block), read_end // block)
    return range(-(-begin // block), last)


def _damaged(volume: Volume, block: Roi, path: str, reason: str) -> DamagedInput:
    return DamagedInput(
        f"block {block} of the input {volume.address} is not what the job that wrote it has recorded "
        f"({path}: {reason}). Run that job again, which needs --overwrite for a file of one piece; "
        f'"blockmill volume verify {shlex.quote(volume.address)}" lists all such blocks. If it was changed '
        "on purpose, set check_input: false"
    )
