"""Checks the blocks of a volume, one by one, against their recorded checksums."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ...daemon.runs.outputs.output_files import OutputFiles
from ...shared.errors import BlockmillError, JobError, StorageError
from ...shared.files.checksum import crc32_of
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi
from ...shared.volumes.base.api import RecordedVolume, Volume
from ...shared.volumes.ledger import Ledger
from ...shared.volumes.registry import Address, format_of, open_volume, split_input

Verdict = Literal["ok", "unchecked", "missing", "damaged"]


class NothingToCheckAgainst(Exception):
    """No checksums of this volume were recorded."""


@dataclass(slots=True)
class Tally:
    """The result for a number of blocks.

    Attributes
    ----------
    ok, unchecked, missing, damaged : int
        Number of blocks that agree with their record; that can be opened but have no checksum; that
        do not exist; that don't agree.
    bytes_checked : int
        Bytes of the blocks that agree.
    damage : list of (int, str)
        Block number and reason of each damaged block.
    """

    ok: int = 0
    unchecked: int = 0
    missing: int = 0
    damaged: int = 0
    bytes_checked: int = 0
    damage: list[tuple[int, str]] = field(default_factory=list)

    @property
    def blocks(self) -> int:
        """Number of all blocks that were checked."""
        return self.ok + self.unchecked + self.missing + self.damaged

    def count(self, verdict: Verdict, nbytes: int = 0) -> None:
        """Count one block.

        Parameters
        ----------
        verdict : {"ok", "unchecked", "missing", "damaged"}
        nbytes : int
            Bytes that agree with their checksum.
        """
        setattr(self, verdict, getattr(self, verdict) + 1)
        self.bytes_checked += nbytes

    def add(self, other: Tally) -> None:
        """Add the counts of another tally without its `damage`, which may be very long."""
        for name in ("ok", "unchecked", "missing", "damaged", "bytes_checked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Check(Protocol):
    """Checks the blocks of one volume."""

    grid: BlockGrid

    def block(self, block: Roi, number: int) -> tuple[Verdict, int]:
        """Check one block.

        Parameters
        ----------
        block : Roi
            In voxels of the volume.
        number : int
            The block's number in `grid`.

        Returns
        -------
        verdict : {"ok", "unchecked", "missing"}
        nbytes : int
            Bytes that agree with their checksum.

        Raises
        ------
        BlockmillError, OSError
            If the block is damaged.
        """
        ...

    def close(self) -> None:
        """Close the volume."""
        ...


def tally_of(check: Check, first: int, stop: int) -> Tally:
    """Check the blocks with numbers in ``[first, stop)``.

    Parameters
    ----------
    check : Check
    first, stop : int
        Block numbers.

    Returns
    -------
    Tally
    """
    tally = Tally()
    for number in range(first, stop):
        try:
            tally.count(*check.block(check.grid.roi_of(number), number))
        except (OSError, BlockmillError) as error:
            tally.count("damaged")
            tally.damage.append((number, str(error)))
    return tally


class FilesetCheck:
    """Checks each block file against its own status record."""

    def __init__(self, fileset: RecordedVolume) -> None:
        self.grid = fileset.records.grid
        self._records = fileset.records

    def block(self, block: Roi, number: int) -> tuple[Verdict, int]:
        """Check one block, again if it was rewritten meanwhile.

        Parameters
        ----------
        block, number
            As for `Check.block`.

        Returns
        -------
        verdict, nbytes
            As from `Check.block`; ``nbytes`` is the size of the block file.

        Raises
        ------
        StorageError
            If the block is damaged.
        """
        verdict, nbytes = self._records.check_block(block.start)
        if verdict == "unchecked":
            self._records.check_unrecorded(block)
        return verdict, nbytes

    def close(self) -> None:
        """Do nothing: no file stays open."""


class LedgerCheck:
    """Checks the blocks of a merged file against the ledger that its job left beside it.

    Parameters
    ----------
    volume : Volume
    grid : BlockGrid
        The task blocks from which the file was merged.
    ledger : Ledger
    """

    def __init__(self, volume: Volume, grid: BlockGrid, ledger: Ledger) -> None:
        self.grid = grid
        self._volume = volume
        self._ledger = ledger

    def block(self, block: Roi, number: int) -> tuple[Verdict, int]:
        """Check one block.

        Parameters
        ----------
        block, number
            As for `Check.block`.

        Returns
        -------
        verdict, nbytes
            As from `Check.block`.

        Raises
        ------
        StorageError
            If the block is damaged.
        """
        crc32 = self._ledger.crc_of(number)
        if crc32 is None:
            return "missing", 0
        voxels = self._volume.read(block)
        if crc32_of(voxels) != crc32:
            raise StorageError("checksum differs")
        return "ok", voxels.nbytes

    def close(self) -> None:
        """Close the file and the ledger."""
        self._ledger.close()
        self._volume.close()


def check_of(text: str) -> Check:
    """Open the check for the volume at an address.

    Raises
    ------
    NothingToCheckAgainst
        If it is a single file, and no job has left a ledger beside it.
    JobError
        If there is no such volume.
    StorageError
        If it is there but can't be opened.
    """
    address = split_input(text)
    kind = format_of(address)
    if not kind.keeps_status and not kind.unrecorded:
        return _check_by_ledger(address)
    volume = open_volume(text)
    if not kind.unrecorded and isinstance(volume, RecordedVolume):
        return FilesetCheck(volume)
    volume.close()
    raise NothingToCheckAgainst(f"{text} {kind.unrecorded}")


def _check_by_ledger(address: Address) -> LedgerCheck:
    volume = _open_output(address)
    try:
        grid = _task_grid(Path(address.file), volume)
        return LedgerCheck(volume, grid, _ledger(Path(address.file), len(grid)))
    except BaseException:
        volume.close()
        raise


def _open_output(address: Address) -> Volume:
    """Open the output, or its partial file if its run was interrupted."""
    output = Path(address.file)
    partial = OutputFiles(output).partial
    if output.exists() or not partial.exists():
        return _open_finished(address)
    return format_of(address).open(address.at(partial))


def _open_finished(address: Address) -> Volume:
    try:
        return open_volume(str(address))
    except JobError as error:
        if not address.internal and OutputFiles(Path(address.file)).ledger.exists():
            raise StorageError(str(error)) from error  # a job of blockmill wrote it, so it is damaged
        raise


def _task_grid(output: Path, volume: Volume) -> BlockGrid:
    """The grid of the task blocks from which the job merged its file."""
    files = OutputFiles(output)
    output_record = files.read_record()
    if output_record is None or not files.ledger.exists():
        raise NothingToCheckAgainst(
            f"{output} can be opened, but there is nothing to check it against: no job of this program has "
            f"left its checksums in the hidden folder {files.folder.name} beside it"
        )
    shape = output_record.identity.get("output_is", {}).get("shape")
    if shape != list(volume.shape):
        raise StorageError(f"{volume.address} has shape {list(volume.shape)}, the job's record says {shape}")
    return BlockGrid(Roi.from_shape(volume.shape), output_record.task_block)


def _ledger(output: Path, blocks: int) -> Ledger:
    path = OutputFiles(output).ledger
    if not path.stat().st_size:
        raise StorageError(f"{path} is empty; run the job again with --overwrite")
    try:
        return Ledger(path, blocks, writable=False)
    except OSError as error:
        raise StorageError(f"could not open {path}: {error}") from error
