"""Merging results into one file: serially, and so that a killed run can go on.

The file grows under the name ``<output>.partial``. Beside it, the ledger holds the checksum
of each block that was merged, written after its voxels are out of this process. A block
counts as finished only if its voxels in the file agree with the ledger; so whatever a crash
left behind is either right or done again.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from ...shared.errors import BlockmillError, OutputRefused, StorageError
from ...shared.files.atomic import sync_file
from ...shared.files.checksum import crc32_of
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi
from ...shared.volumes.base.api import Volume

_ENTRY = struct.Struct("<BI")  # merged or not, CRC-32 of the block's bytes in C order


@runtime_checkable
class _Buffered(Protocol):
    """A volume that holds back what was written; one in a memory map does not."""

    def flush(self) -> None: ...


def _nothing() -> None:
    """All that was written is where it belongs."""


class Ledger:
    """Checksums of merged blocks, one fixed entry a block, in a small file.

    Raises
    ------
    StorageError
        If the file is there but has the size of another grid, or there is no room for it.
    """

    def __init__(self, path: Path, blocks: int) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        size = os.fstat(self._fd).st_size
        if size not in (0, blocks * _ENTRY.size):
            os.close(self._fd)
            raise StorageError(f"{path}: {size} bytes are no ledger of {blocks} blocks; run with --overwrite")
        if size == 0:
            self._reserve(blocks * _ENTRY.size)

    def _reserve(self, size_bytes: int) -> None:
        try:
            os.posix_fallocate(self._fd, 0, size_bytes)
        except OSError as error:
            os.close(self._fd)
            raise StorageError(f"could not reserve the space of {self.path}: {error}") from error

    def note(self, block: int, crc32: int) -> None:
        """Say that a block lies in the file."""
        os.pwrite(self._fd, _ENTRY.pack(1, crc32), block * _ENTRY.size)

    def crc_of(self, block: int) -> int | None:
        """Checksum of a merged block; None if it was not merged."""
        merged, crc32 = _ENTRY.unpack(os.pread(self._fd, _ENTRY.size, block * _ENTRY.size))
        return crc32 if merged else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class SingleFile:
    """One output file, filled block by block by the merging thread.

    Parameters
    ----------
    output : Path
        Where the file appears when it is whole.
    grid : BlockGrid
        The blocks that it is made of.
    create : callable
        Makes the volume at a path.
    open_at : callable
        Opens the volume at a path, with mode "r" or "r+".
    """

    def __init__(
        self,
        output: Path,
        grid: BlockGrid,
        create: Callable[[Path], Volume],
        open_at: Callable[[Path, Literal["r", "r+"]], Volume],
    ) -> None:
        self.output = output
        self.partial = output.with_name(output.name + ".partial")
        self._grid = grid
        self._create = create
        self._open = open_at
        self._volume: Volume | None = None
        self._flush: Callable[[], None] = _nothing
        self._ledger: Ledger | None = None
        self._resumed = False

    @property
    def ledger_path(self) -> Path:
        """Where the checksums lie; kept beside the finished file, to check it later."""
        return self.output.with_name(self.output.name + ".blocks")

    def start(self) -> None:
        """Begin an empty file."""
        self.discard()
        self._hold(self._create(self.partial))
        self._ledger = Ledger(self.ledger_path, len(self._grid))

    def go_on(self, check: Callable[[], None] = lambda: None) -> bytes:
        """Take up what an earlier run left.

        Parameters
        ----------
        check : callable
            Called before each block is read; it may raise to end this.

        Returns
        -------
        bytes
            One byte a block: 1 where its voxels are in the file and agree with the ledger.
        """
        existing = self.partial if self.partial.exists() else self.output
        try:
            done = self._checked(existing, check)
        except OutputRefused:
            raise
        except (OSError, BlockmillError):
            self.start()  # killed while HDF5 was writing its own bookkeeping: nothing can be trusted
            return bytes(len(self._grid))
        if existing == self.partial or not all(done):
            existing.replace(self.partial)
            self._ledger = Ledger(self.ledger_path, len(self._grid))
            self._hold(self._open(self.partial, "r+"))
            self._resumed = True
        return done

    def _checked(self, path: Path, check: Callable[[], None]) -> bytes:
        """One byte a block: whether its voxels in the file at `path` agree with the ledger."""
        volume = self._open(path, "r")
        try:
            if volume.shape != self._grid.roi.shape:
                raise OutputRefused(
                    f"{path} has shape {list(volume.shape)}, this job writes {list(self._grid.roi.shape)}: "
                    "somebody has replaced it; run with --overwrite, or name another output"
                )
            ledger = Ledger(self.ledger_path, len(self._grid))
            try:
                return bytes(self._agrees(volume, ledger, block, check) for block in range(len(self._grid)))
            finally:
                ledger.close()
        finally:
            volume.close()

    def _agrees(self, volume: Volume, ledger: Ledger, block: int, check: Callable[[], None]) -> bool:
        check()
        crc32 = ledger.crc_of(block)
        if crc32 is None:
            return False
        try:
            return crc32_of(volume.read(self._grid.roi_of(block))) == crc32
        except (OSError, BlockmillError):
            return False  # a damaged chunk; the block is done again

    def merge(self, block: int, roi: Roi, array: NDArray[Any], crc32: int) -> None:
        """Write the voxels of a block, then note it."""
        assert self._volume is not None and self._ledger is not None, "started or taken up before"
        self._volume.write(roi, array)
        self._flush()  # what the ledger notes survives a kill
        self._ledger.note(block, crc32)

    def _hold(self, volume: Volume) -> None:
        self._volume = volume
        self._flush = volume.flush if isinstance(volume, _Buffered) else _nothing

    def finish(self) -> None:
        """Close, make durable, and give the file its name.

        Raises
        ------
        StorageError
            If the file was taken up again and does not agree with the ledger: a kill in the
            middle of HDF5's bookkeeping may let it reuse space that it had given away.
        """
        self.close()  # HDF5 writes the last of its bookkeeping here
        if not self.partial.exists():
            return
        if self._resumed and not all(self._checked(self.partial, lambda: None)):
            raise StorageError(
                f"{self.partial}: some blocks don't agree with their checksums, as after a crash in the "
                "middle of writing; run this again to redo them"
            )
        sync_file(str(self.partial))
        self.partial.replace(self.output)

    def close(self) -> None:
        """Close the files; what has been merged stays for a later run."""
        volume, ledger = self._volume, self._ledger
        self._volume = self._ledger = None
        try:
            if volume is not None:
                volume.close()
        finally:
            if ledger is not None:
                ledger.close()

    def discard(self) -> None:
        """Remove what an earlier run left, finished or not."""
        for path in (self.partial, self.output, self.ledger_path):
            path.unlink(missing_ok=True)
