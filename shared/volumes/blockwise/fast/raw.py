"""Reads of voxels that lie in one piece in a file, straight into their destination."""

from __future__ import annotations

import math
import os

from numpy.typing import NDArray

from ....geometry.roi import Roi, Shape
from ...hdf5.rows import PIECE_BYTES, copy_rows, planes_per_piece, scratch

# A part that is so much smaller than what is read for it is left to HDF5, which reads its rows.
_WORST_SHARE = 64
_LARGEST_PLANE_BYTES = 1 << 24


def read_planes(
    descriptor: int, head: bytearray, tail: bytearray, shape: Shape, roi_in_block: Roi, target: NDArray
) -> bool:
    """Read a part of the voxels of a block, and all bytes that surround them in the file.

    The planes (along the first axis) that the part touches are read whole: one system call for
    many rows costs less than one for each, even if most of the bytes are dropped.

    Parameters
    ----------
    descriptor : int
        The open file.
    head, tail : bytearray
        Filled. The voxels start right behind the head; the tail is one byte longer than the bytes
        that should follow them, so that a file that is too long shows.
    shape : tuple of int
        Of the whole block.
    roi_in_block : Roi
        Relative to the block.
    target : ndarray of shape ``roi_in_block.shape``
        Writable, and of the dtype that is in the file.

    Returns
    -------
    bool
        False if the file is shorter or longer than that, or HDF5 would be quicker; then
        `target` may hold anything.
    """
    axis = next((axis for axis, n in enumerate(shape) if n > 1), len(shape) - 1)
    target = target[(0,) * axis]
    planes, first, stop = shape[axis], roi_in_block.start[axis], roi_in_block.stop[axis]
    plane_bytes = math.prod(shape[axis + 1 :]) * target.itemsize
    is_direct = roi_in_block.shape[axis + 1 :] == shape[axis + 1 :] and target.flags.c_contiguous
    if not is_direct and _wasteful(plane_bytes, stop - first, target.nbytes):
        return False
    step = stop - first if is_direct else min(stop - first, planes_per_piece(plane_bytes))
    buffer = target if is_direct else scratch(step * plane_bytes)
    end = len(head) + planes * plane_bytes
    if step == planes:
        if os.preadv(descriptor, [head, buffer.data, tail], 0) != end + len(tail) - 1:
            return False
        if not is_direct:
            _copy_part(target, buffer, shape[axis:], Roi(roi_in_block.start[axis:], roi_in_block.stop[axis:]))
        return True
    if os.preadv(descriptor, [head], 0) != len(head) or os.preadv(descriptor, [tail], end) != len(tail) - 1:
        return False
    for at in range(first, stop, step):
        until = min(at + step, stop)
        piece = buffer if until - at == step else scratch((until - at) * plane_bytes)
        if os.preadv(descriptor, [piece.data], len(head) + at * plane_bytes) != (until - at) * plane_bytes:
            return False
        if not is_direct:
            inner = Roi((0, *roi_in_block.start[axis + 1 :]), (until - at, *roi_in_block.stop[axis + 1 :]))
            _copy_part(target[at - first : until - first], piece, (until - at, *shape[axis + 1 :]), inner)
    return True


def _wasteful(plane_bytes: int, count: int, wanted_bytes: int) -> bool:
    return plane_bytes > _LARGEST_PLANE_BYTES or count * plane_bytes > max(
        PIECE_BYTES, _WORST_SHARE * wanted_bytes
    )


def _copy_part(target: NDArray, planes: NDArray, shape: Shape, roi_in_block: Roi) -> None:
    copy_rows(target, planes.view(target.dtype).reshape(shape)[roi_in_block.to_slice()])
