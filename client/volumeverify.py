"""The verb ``volume verify``: every block of a volume against what is recorded of it, in parallel.

Threads do it: files are read and summed up without the interpreter lock.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ..daemon.handle import Progress
from ..daemon.merge import Ledger
from ..shared.checksum import crc32_of
from ..shared.errors import BlockmillError, JobError
from ..shared.grid import BlockGrid
from ..shared.roi import Roi
from ..shared.volumes.address import Address, open_volume, split_address
from ..shared.volumes.fileset import BlockwiseFileset
from ..shared.volumes.protocol import Volume
from . import exitcodes
from .interrupt import Interrupt
from .progress import display_for

_MOST_IN_JSON = 1000
_LARGEST_BATCH = 16
_BATCHES_PER_WORKER = 4

Verdict = Literal["ok", "unchecked", "missing", "damaged"]


@dataclass(slots=True)
class Tally:
    """What came out for a number of blocks.

    Attributes
    ----------
    ok, unchecked, missing, damaged : int
        Blocks that agree with their record; that can be opened but have no checksum; that are not
        there; that don't agree.
    bytes_checked : int
        What the blocks that agree hold, of their files or of their voxels.
    damage : list of (Roi, str)
        Each damaged block, and why.
    """

    ok: int = 0
    unchecked: int = 0
    missing: int = 0
    damaged: int = 0
    bytes_checked: int = 0
    damage: list[tuple[Roi, str]] = field(default_factory=list)

    @property
    def blocks(self) -> int:
        """All blocks that were looked at."""
        return self.ok + self.unchecked + self.missing + self.damaged

    def count(self, verdict: Verdict, nbytes: int = 0) -> None:
        """Add a block."""
        setattr(self, verdict, getattr(self, verdict) + 1)
        self.bytes_checked += nbytes

    def blame(self, block: Roi, reason: str) -> None:
        """Add a damaged block."""
        self.count("damaged")
        self.damage.append((block, reason))

    def add(self, other: Tally) -> None:
        """Add the counts of other blocks, but not what is wrong with each: of that there may be much."""
        for name in ("ok", "unchecked", "missing", "damaged", "bytes_checked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Check(Protocol):
    """How one block after another is checked, by several threads at once."""

    grid: BlockGrid

    def block(self, number: int, tally: Tally) -> None: ...
    def close(self) -> None: ...


class FilesetCheck:
    """Each block file against its own status record."""

    def __init__(self, fileset: BlockwiseFileset) -> None:
        self.grid = fileset.grid
        self._fileset = fileset

    def block(self, number: int, tally: Tally) -> None:
        """Check one block; one that is being written anew is looked at until it stays as it is."""
        block = self.grid.roi_of(number)
        while True:
            record = self._fileset.block_record(block.start)
            if record is None:
                return tally.count("missing")
            if record.size_bytes is None:
                return self._look_into(block, tally)
            reason = self._fileset.verify_block(block.start)
            if reason is None:
                return tally.count("ok", record.size_bytes)
            if record == self._fileset.block_record(block.start):
                return tally.blame(block, reason)

    def _look_into(self, block: Roi, tally: Tally) -> None:
        """A block of the original has no checksum; its file must at least hold such voxels."""
        try:
            dataset = open_volume(self._fileset.dataset_path(block.start))
        except BlockmillError as error:
            return tally.blame(block, str(error))
        try:
            shape, dtype = dataset.shape, dataset.dtype
        finally:
            dataset.close()
        if len(shape) != block.ndim or any(n < m for n, m in zip(shape, block.shape, strict=True)):
            return tally.blame(block, f"its file holds {list(shape)} voxels, the block {list(block.shape)}")
        if dtype != self._fileset.dtype:
            return tally.blame(block, f"its file holds {dtype}, the fileset {self._fileset.dtype}")
        return tally.count("unchecked")

    def close(self) -> None:
        """Nothing is held open."""


class LedgerCheck:
    """The blocks of a merged file against the checksums that its job kept beside it."""

    def __init__(self, volume: Volume, grid: BlockGrid, ledger: Ledger) -> None:
        self.grid = grid
        self._volume = volume
        self._ledger = ledger

    def block(self, number: int, tally: Tally) -> None:
        """Check one block."""
        crc32 = self._ledger.crc_of(number)
        if crc32 is None:
            return tally.count("missing")
        block = self.grid.roi_of(number)
        try:
            voxels = self._volume.read(block)
        except BlockmillError as error:
            return tally.blame(block, str(error))
        if crc32_of(voxels) != crc32:
            return tally.blame(block, "checksum differs")
        return tally.count("ok", voxels.nbytes)

    def close(self) -> None:
        """Close file and ledger."""
        self._ledger.close()
        self._volume.close()


class NothingToCheckAgainst(Exception):
    """The volume may be as good as any, but nobody has noted its checksums."""


def verify_volume(address: str, workers: int | None, as_json: bool) -> int:
    """Check the volume at `address`, and print what came out; the exit code of the command."""
    display = display_for(sys.stdout, as_json or not sys.stdout.isatty())
    started_s = time.monotonic()
    total, kept = Tally(), []
    try:
        with Interrupt() as interrupt:
            check = _check_of(split_address(address))
            try:
                display.start(len(check.grid), 0)
                for tally in _tallies(check, workers or len(os.sched_getaffinity(0))):
                    total.add(tally)
                    kept += tally.damage[: _MOST_IN_JSON - len(kept)]
                    if not as_json:
                        for block, reason in tally.damage:
                            display.note(f"block {block}: {reason}")
                    display.update(Progress(blocks=total.blocks, bytes_written=total.bytes_checked))
                    if interrupt.came():
                        raise KeyboardInterrupt
            finally:
                display.stop()
                check.close()
    except KeyboardInterrupt:
        print(f"interrupted after {total.blocks} blocks, {total.damaged} of them damaged", file=sys.stderr)
        return exitcodes.INTERRUPTED
    except NothingToCheckAgainst as error:
        print(f"blockmill: {error}", file=sys.stderr)
        return 0
    except BlockmillError as error:
        print(f"blockmill: {error}", file=sys.stderr)
        return exitcodes.BAD_FILE if isinstance(error, JobError) else exitcodes.FAILED
    _print(address, total, kept, time.monotonic() - started_s, as_json)
    return exitcodes.FAILED if total.missing or total.damaged else 0


def _check_of(address: Address) -> Check:
    """What the volume at an address is checked against.

    Raises
    ------
    NothingToCheckAgainst
        If nothing is noted of it.
    """
    if address.kind == "fileset":
        fileset = open_volume(str(address))
        assert isinstance(fileset, BlockwiseFileset)
        return FilesetCheck(fileset)
    return _check_by_ledger(address)


def _check_by_ledger(address: Address) -> Check:
    """The finished file, or the partial one of a run that goes on or was cut off."""
    output = Path(address.file)
    partial = output.with_name(output.name + ".partial")
    volume = open_volume(str(address)) if output.exists() or not partial.exists() else _open(partial, address)
    try:
        grid = _merged_blocks(output, volume)
        return LedgerCheck(volume, grid, Ledger(_ledger_path(output), len(grid)))
    except BaseException:
        volume.close()
        raise
