"""The ledger of a merged file: the checksums of the blocks that were merged into it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from ..errors import StorageError

_ENTRY = struct.Struct("<BI")  # merged or not, CRC-32 of the block's bytes in C order


def ledger_bytes(blocks: int) -> int:
    """Size of the ledger of a grid, in bytes."""
    return blocks * _ENTRY.size


class Ledger:
    """Checksums of merged blocks, one fixed entry a block, in a small file.

    Parameters
    ----------
    path : Path
    blocks : int
        Number of blocks of the grid.
    writable : bool
        Open it to note blocks, and make it if it is not there; else only to read it.

    Raises
    ------
    StorageError
        If the file is there but has the size of another grid, or there is no room for it.
    OSError
        If the system refuses.
    """

    def __init__(self, path: Path, blocks: int, *, writable: bool = True) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        self._fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
        size = os.fstat(self._fd).st_size
        if size == 0 and writable:
            self._reserve(blocks * _ENTRY.size)
        elif size != blocks * _ENTRY.size:
            os.close(self._fd)
            raise StorageError(f"{path}: {size} bytes are no ledger of {blocks} blocks; run with --overwrite")

    def _reserve(self, size_bytes: int) -> None:
        try:
            os.posix_fallocate(self._fd, 0, size_bytes)
        except OSError as error:
            os.close(self._fd)
            raise StorageError(f"could not reserve the space of {self.path}: {error}") from error

    def note(self, block: int, crc32: int) -> None:
        """Record that a block was merged into the file.

        Parameters
        ----------
        block : int
            Number of the block.
        crc32 : int
            Checksum of its voxels.
        """
        os.pwrite(self._fd, _ENTRY.pack(1, crc32), block * _ENTRY.size)

    def noted(self) -> bytes:
        """One byte a block: 1 if it was merged."""
        size_bytes = os.fstat(self._fd).st_size
        return os.pread(self._fd, size_bytes, 0)[:: _ENTRY.size]

    def crc_of(self, block: int) -> int | None:
        """Checksum of a merged block; None if it was not merged."""
        merged, crc32 = _ENTRY.unpack(os.pread(self._fd, _ENTRY.size, block * _ENTRY.size))
        return crc32 if merged else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
