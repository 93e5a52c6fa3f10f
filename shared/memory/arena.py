"""Shared memory for voxels: segments without a name, slots that are reused.

A segment is a memfd of the coordinator's; workers open it through the coordinator's entry
in ``/proc``, so that nothing is left behind however either side ends. Pages that were
touched once are reused: a first touch of shared memory costs about 14 times a copy into
touched pages.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..messages.engine import ArrayView, MapSegment, SharedArray, Slot

_ALIGN_BYTES = 4096
_MOST_CACHED_BYTES = 64 << 20


class Segment:
    """A shared memory file of `nbytes`, made here, or attached by its path or an open descriptor.

    With `populate` every page is there from the start, so that no copy waits for one.
    """

    def __init__(self, nbytes: int, file: str | int | None = None, *, populate: bool = False) -> None:
        self.nbytes = nbytes
        self._owned = file is None
        fd = _descriptor(file, nbytes)
        try:
            self.map = mmap.mmap(fd, nbytes, mmap.MAP_SHARED | (mmap.MAP_POPULATE if populate else 0))
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd if self._owned else -1
        self.path = file if isinstance(file, str) else f"/proc/{os.getpid()}/fd/{fd}"
        if not self._owned:
            os.close(fd)

    def fill(self, array: NDArray[Any]) -> None:
        """Copy an array, in C order, to the beginning of this new segment.

        A write to the file allocates its pages in one go, in 0.6 of the time of touching them one by one.
        """
        if not array.flags.c_contiguous:
            np.ndarray(array.shape, array.dtype, buffer=self.map)[...] = array
            return
        data, offset = array.reshape(-1).view(np.uint8).data, 0
        while offset < len(data):
            offset += os.pwrite(self._fd, data[offset:], offset)

    def close(self) -> None:
        """Close the file; arrays that still refer to the memory keep it alive."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _descriptor(file: str | int | None, nbytes: int) -> int:
    if file is None:
        return _new_memory(nbytes)
    return file if isinstance(file, int) else os.open(file, os.O_RDWR)


def _new_memory(nbytes: int) -> int:
    """A descriptor of new memory of a fixed size: who has it can't cut it short under the feet of others."""
    fd = os.memfd_create("blockmill", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, nbytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


class SharedBuffer:
    """Pre-faulted shared memory that its owner uses again and again, and lends to workers.

    Parameters
    ----------
    number : int
        Its number in messages to workers.
    nbytes : int
    on_release : callable
        Called with `number`, in any thread, when no array refers to the memory any more.
    """

    def __init__(self, number: int, nbytes: int, on_release: Callable[[int], None]) -> None:
        self.number = number
        self.nbytes = nbytes
        self._segment = Segment(nbytes, populate=True)
        self.map_segment = MapSegment(number, self._segment.path, nbytes, populate=True)
        self._root = np.frombuffer(self._segment.map, np.uint8)
        self.address: int = self._root.ctypes.data
        self._root_ref = weakref.ref(self._root)
        weakref.finalize(self._root, _release, self._segment, number, on_release).atexit = False

    def release(self) -> None:
        """Give the memory up; it stays as long as arrays refer to it."""
        del self._root

    @property
    def alive(self) -> bool:
        """True if the memory is still there."""
        return self._root_ref() is not None

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
        """The beginning of the memory as an array.

        Parameters
        ----------
        shape : tuple of int
        dtype : numpy.dtype

        Returns
        -------
        ndarray of `shape` and `dtype`
        """
        return np.ndarray(shape, dtype, buffer=self._root)

    def view_of(self, array: NDArray[Any]) -> ArrayView | None:
        """The position of an array in this memory, or None if (a part of) it lies elsewhere."""
        if min(array.strides, default=0) < 0:
            return None
        offset = array.ctypes.data - self.address
        # numpy's byte_bounds would tell the extent, but moved to another module with numpy 2.
        extent = sum((n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True))
        if not (self.alive and offset >= 0 and offset + extent + array.itemsize <= self.nbytes):
            return None
        return ArrayView(self.number, offset, array.shape, array.strides, array.dtype.str)


def _release(segment: Segment, number: int, on_release: Callable[[int], None]) -> None:
    segment.close()
    on_release(number)


class Arena:
    """Slots for the results of one job at a time.

    `take` gives a free slot, from a new segment if need be. The array that `result` makes
    of a slot returns it by itself when the last reference to its memory is gone, so a
    result that somebody keeps is never overwritten. Segments take their numbers from
    `numbers`.
    """

    def __init__(self, numbers: Iterator[int], slots_per_segment: int = 4) -> None:
        self._numbers = numbers
        self._slots_per_segment = slots_per_segment
        self._slot_bytes = 0
        self._free: deque[Slot] = deque()
        self.segments: dict[int, Segment] = {}

    def take(self, nbytes: int) -> Slot:
        """A slot of at least `nbytes` that nobody uses; last in, first out: warm pages first."""
        if nbytes > self._slot_bytes:
            self._slot_bytes = max(-(-nbytes // _ALIGN_BYTES), 1) * _ALIGN_BYTES
        while self._free:
            slot = self._free.pop()
            if slot.nbytes >= nbytes:  # smaller ones, of before the slots grew, are dropped
                return slot
        return self._grow()

    def _grow(self) -> Slot:
        number = next(self._numbers)
        self.segments[number] = Segment(self._slot_bytes * self._slots_per_segment)
        first, *rest = (
            Slot(number, i * self._slot_bytes, self._slot_bytes) for i in range(self._slots_per_segment)
        )
        self._free.extend(rest)
        # Whoever keeps all results needs a few large segments, not thousands of open files.
        self._slots_per_segment *= 2
        return first

    def give_back(self, slot: Slot) -> None:
        """Take a slot back; safe from any thread and from garbage collection."""
        self._free.append(slot)

    def result(self, slot: Slot, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
        """The array in a slot; the slot is free again once no array views that memory.

        Parameters
        ----------
        slot : Slot
        shape : tuple of int
        dtype : numpy.dtype

        Returns
        -------
        ndarray of `shape` and `dtype`
        """
        root: NDArray[np.uint8] = np.frombuffer(
            self.segments[slot.segment].map, np.uint8, slot.nbytes, slot.offset
        )
        # Views of views name this very array as their base (numpy collapses the chain), so
        # its end is the end of all of them.
        weakref.finalize(root, self.give_back, slot).atexit = False
        return np.ndarray(shape, dtype, buffer=root)

    @property
    def nbytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.nbytes for segment in self.segments.values())

    def suits(self, nbytes: int) -> bool:
        """Test if its slots have room for `nbytes`, and not much more."""
        return nbytes <= self._slot_bytes <= max(4 * nbytes, _ALIGN_BYTES)

    def close(self) -> list[int]:
        """Close all segments. Returns their numbers; results that are still alive stay valid."""
        numbers = list(self.segments)
        for segment in self.segments.values():
            segment.close()
        self.segments.clear()  # or one kept result, whose end comes back here, would keep all
        self._free.clear()
        return numbers


class Arenas:
    """Arenas for the jobs of an engine; that of the last one waits for the next, its pages touched.

    Parameters
    ----------
    numbers : iterator of int
        Numbers of segments.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._cached: Arena | None = None

    def take(self, nbytes: int) -> Arena:
        """An arena for results of `nbytes`."""
        cached = self._cached
        if cached is None or not cached.suits(nbytes):
            return Arena(self._numbers)
        self._cached = None
        return cached

    def give_back(self, arena: Arena, *, keep: bool) -> list[int]:
        """Take an arena back.

        Parameters
        ----------
        arena : Arena
        keep : bool
            Keep it for the next job, instead of closing it.

        Returns
        -------
        list of int
            Numbers of the segments that have been closed for that.
        """
        if not keep or arena.nbytes > _MOST_CACHED_BYTES:
            return arena.close()
        cached, self._cached = self._cached, arena
        return cached.close() if cached is not None else []

    def close(self) -> None:
        """Close the arena that waits for the next job."""
        if self._cached is not None:
            self._cached.close()
            self._cached = None


def share_array(array: NDArray[Any], axes: str) -> tuple[Segment, SharedArray]:
    """Copy an array into a segment of its own that workers can open.

    Parameters
    ----------
    array : ndarray
    axes : str
        One letter per axis.

    Returns
    -------
    Segment, SharedArray
        The segment to close when no worker needs it, and its description for workers.
    """
    segment = Segment(max(array.nbytes, 1))
    try:
        segment.fill(array)
    except BaseException:  # Ctrl-C in a program that goes on, for instance
        segment.close()
        raise
    return segment, SharedArray(segment.path, array.shape, array.dtype.str, axes)


def attach_array(shared: SharedArray) -> NDArray[Any]:
    """The array that another process put into shared memory, without a copy."""
    dtype = np.dtype(shared.dtype)
    nbytes = int(np.prod(shared.shape, dtype=object)) * dtype.itemsize
    return np.ndarray(shared.shape, dtype, buffer=Segment(max(nbytes, 1), shared.path).map)
