import threading
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.volumes.blockwise.fast.contiguous import ContiguousTemplate
from blockmill.shared.volumes.blockwise.fast.image import ReadyImage, TemplateImage
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5 import rows
from blockmill.shared.volumes.hdf5.rows import copy_rows, in_order, scratch, slabs_of


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4), st.sampled_from(["u1", "bool", ">u2", "f4", "c16"])
)
def test_a_copy_is_the_same_to_the_bit_and_touches_nothing_else(shape, dtype):
    some = np.random.default_rng(0).integers(0, 2, [*shape, np.dtype(dtype).itemsize], "u1")
    source = some.view(dtype)[..., 0]
    room = np.zeros([n + 2 for n in shape], dtype)
    target = room[tuple(slice(1, 1 + n) for n in shape)]
    copy_rows(target, source)
    assert target.tobytes() == source.tobytes()
    target[...] = 0
    assert not room.any()


@pytest.mark.parametrize("turn", [lambda a: a.T, lambda a: a[:, ::-1], lambda a: a[::2, :, ::3], lambda a: a])
def test_any_strides_are_copied_right(turn):
    source = turn(sample((6, 5, 9), "u2"))
    target = np.zeros(source.shape, "u2")
    copy_rows(target, source)
    np.testing.assert_array_equal(target, source)
    other = turn(np.zeros((6, 5, 9), "u2"))
    copy_rows(other, target)
    np.testing.assert_array_equal(other, source)


def test_scratch_memory_is_a_threads_own_and_large_ones_are_not_kept():
    mine, theirs = scratch(100), []
    thread = threading.Thread(target=lambda: theirs.append(scratch(100)))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, theirs[0])
    assert np.shares_memory(mine, scratch(50))
    assert not np.shares_memory(scratch(rows._MOST_KEPT_BYTES + 1), scratch(10))


@pytest.mark.parametrize("piece_bytes", [1, 100, 1 << 20])
@pytest.mark.parametrize("turn", [lambda a: a.T, lambda a: a[:, 1:4], lambda a: a[:1, ::2], lambda a: a])
def test_an_image_in_pieces_is_the_whole_with_its_checksum(monkeypatch, piece_bytes, turn):
    monkeypatch.setattr(rows, "PIECE_BYTES", piece_bytes)
    data = turn(sample((6, 5, 9), "u2"))
    template = ContiguousTemplate(b"head" * 9, b"tail", np.dtype("u2"), data.nbytes)
    whole = template.head + data.tobytes() + template.tail
    image = TemplateImage(template, data)
    assert b"".join(bytes(buffer) for buffers in image for buffer in buffers) == whole
    assert (image.checksum, image.size_bytes) == (zlib.crc32(whole), len(whole))
    ready = ReadyImage(whole[:7], whole[7:])
    assert b"".join(bytes(buffer) for buffers in ready for buffer in buffers) == whole
    assert (ready.checksum, ready.size_bytes) == (zlib.crc32(whole), len(whole))
    assert b"".join(bytes(in_order(slab)) for slab in slabs_of(data)) == data.tobytes()
