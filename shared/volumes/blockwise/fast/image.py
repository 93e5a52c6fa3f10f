"""The content of a block file that is to be written, in pieces, and its checksum on the way."""

from __future__ import annotations

from collections.abc import Iterator

from numpy.typing import NDArray

from ....files.checksum import crc32_of
from ...hdf5.codecs import packed
from ...hdf5.rows import in_order, slabs_of
from .contiguous import KnownBytes
from .packed import KnownChunk


class ReadyImage:
    """The bytes of a whole file, in one part or several.

    Attributes
    ----------
    size_bytes : int
        Of the file.
    checksum : int
        CRC-32 of the file, once the pieces were handed out.
    """

    def __init__(self, *parts: bytes | bytearray) -> None:
        self._parts = [memoryview(part) for part in parts]
        self.size_bytes = sum(map(len, parts))
        self.checksum = 0

    def __iter__(self) -> Iterator[list[memoryview]]:
        """The pieces of the file; each is to be used before the next is asked for."""
        self.checksum = 0
        for part in self._parts:
            self.checksum = crc32_of(part, self.checksum)
        yield self._parts


class KnownImage:
    """A new file of a make that is known: HDF5 has no part in it, and the voxels are not copied at once.

    Parameters
    ----------
    known : KnownBytes
        The bytes that surround the voxels.
    data : ndarray
        The voxels of the whole block, of the dtype of `known`.

    Attributes
    ----------
    size_bytes, checksum : int
        As of `ReadyImage`.
    """

    def __init__(self, known: KnownBytes, data: NDArray) -> None:
        self._known = known
        self._data = data
        self.size_bytes = known.size_bytes
        self.checksum = 0

    def __iter__(self) -> Iterator[list[memoryview]]:
        """As of `ReadyImage`."""
        head, tail = self._known.head, self._known.tail
        self.checksum = self._known.head_checksum
        slabs = slabs_of(self._data)
        for slab in slabs:
            piece = in_order(slab)
            self.checksum = crc32_of(piece, self.checksum)
            buffers = [piece]
            if slab is slabs[0]:
                buffers.insert(0, memoryview(head))
            if slab is slabs[-1]:
                buffers.append(memoryview(tail))
                self.checksum = crc32_of(tail, self.checksum)
            yield buffers


def packed_image(known: KnownChunk, data: NDArray) -> ReadyImage | None:
    """A new file of a make that is known, with one packed chunk.

    Parameters
    ----------
    known : KnownChunk
        The make.
    data : ndarray
        The voxels of the whole block.

    Returns
    -------
    ReadyImage or None
        None if it can't be packed.
    """
    chunk, mask = packed(in_order(data), known.pipeline)
    return None if mask else ReadyImage(known.head_for(len(chunk)), chunk)
