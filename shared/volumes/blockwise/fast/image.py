"""The content of a block file that is to be written, in pieces, and its checksum on the way."""

from __future__ import annotations

from collections.abc import Iterator

from numpy.typing import NDArray

from ....files.checksum import crc32_of
from ...hdf5.codecs import packed
from ...hdf5.rows import in_order, slabs_of
from .contiguous import ContiguousTemplate
from .packed import ChunkTemplate


class ReadyImage:
    """The bytes of a whole file, in one piece or several.

    Attributes
    ----------
    size_bytes : int
        Of the file.
    checksum : int
        CRC-32 of the file, once the pieces were handed out.
    """

    def __init__(self, *pieces: bytes | bytearray) -> None:
        self._pieces = [memoryview(piece) for piece in pieces]
        self.size_bytes = sum(map(len, pieces))
        self.checksum = 0

    def __iter__(self) -> Iterator[list[memoryview]]:
        """The pieces of the file; each is to be used before the next is asked for."""
        self.checksum = 0
        for piece in self._pieces:
            self.checksum = crc32_of(piece, self.checksum)
        yield self._pieces


class TemplateImage:
    """A new file from a template: HDF5 has no part in it, and the voxels are copied piece by piece.

    Parameters
    ----------
    template : ContiguousTemplate
        The bytes that surround the voxels.
    data : ndarray
        The voxels of the whole block, of the dtype of `template`.

    Attributes
    ----------
    size_bytes, checksum : int
        As of `ReadyImage`.
    """

    def __init__(self, template: ContiguousTemplate, data: NDArray) -> None:
        self._template = template
        self._data = data
        self.size_bytes = template.size_bytes
        self.checksum = 0

    def __iter__(self) -> Iterator[list[memoryview]]:
        """As of `ReadyImage`."""
        head, tail = self._template.head, self._template.tail
        self.checksum = self._template.head_checksum
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


def packed_image(template: ChunkTemplate, data: NDArray) -> ReadyImage | None:
    """A new file from a template, with one packed chunk.

    Parameters
    ----------
    template : ChunkTemplate
    data : ndarray
        The voxels of the whole block.

    Returns
    -------
    ReadyImage or None
        None if it can't be packed.
    """
    chunk, mask = packed(in_order(data), template.pipeline)
    return None if mask else ReadyImage(template.head_for(len(chunk)), chunk)
