"""Reading without HDF5: the same voxels as HDF5 gives, or HDF5 does it."""

import contextlib
import os
import pickle
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockmill.shared.errors import CorruptBlock, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fast import catalogue, contiguous
from blockmill.shared.volumes.blockwise.fast.catalogue import FileTemplates
from blockmill.shared.volumes.blockwise.fast.contiguous import template_of_new
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5.layout import DatasetLayout, axistags, new_image

SHAPE, BLOCK = (12, 8, 10), (4, 8, 10)
WHOLE = Roi((0, 0, 0), SHAPE)
STARTS = ((0, 0, 0), (4, 0, 0), (8, 0, 0))


def described(dtype="u2", **options):
    return FilesetDescription(
        axes="zyx",
        shape=SHAPE,
        dtype=dtype,
        block_shape=BLOCK,
        block_file_name_format="b{roiString}.h5/v/d",
        **options,
    )


@pytest.fixture
def fileset(tmp_path):
    made = BlockwiseFileset.create(tmp_path / "v.json", described())
    made.write(WHOLE, sample(SHAPE, "u2"))
    return made


def plain(path, voxels, **options):
    with h5py.File(path, "w", **options) as file:
        file.create_dataset("v/d", data=voxels).attrs["axistags"] = axistags("zyx")


def test_files_of_a_known_make_are_read_without_hdf5(fileset, by_hdf5):
    reader = BlockwiseFileset(fileset.address)
    np.testing.assert_array_equal(reader.read(WHOLE), sample(SHAPE, "u2"))
    assert by_hdf5 == [fileset.block_file(STARTS[0])], "one is enough to learn from"
    np.testing.assert_array_equal(fileset.read(WHOLE), sample(SHAPE, "u2"))
    assert len(by_hdf5) == 1, "who wrote them knows them"


def test_a_make_may_be_learned_from_a_part_of_a_block(fileset, by_hdf5):
    reader = BlockwiseFileset(fileset.address)
    for _ in range(2):
        np.testing.assert_array_equal(
            reader.read(Roi((1, 2, 3), (3, 5, 4))), sample(SHAPE, "u2")[1:3, 2:5, 3:4]
        )
    assert len(by_hdf5) == 1


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


STRANGERS = {
    "a letter of an attribute": lambda content: flip(content, content.index(b"typeFlags")),
    "the last byte": lambda content: flip(content, len(content) - 1),
    "the signature": lambda content: flip(content, 1),
    "a number of the superblock": lambda content: flip(content, 40),
    "one byte less": lambda content: content[:-1],
    "one byte more": lambda content: content + b"\0",
    "half of it": lambda content: content[: len(content) // 2],
    "nothing left": lambda content: b"",
}


@pytest.mark.parametrize("change", STRANGERS.values(), ids=STRANGERS)
def test_a_file_that_differs_in_a_byte_is_what_hdf5_says_it_is(fileset, change, check_as_hdf5_says):
    for start in STARTS:
        plain(fileset.block_file(start), sample(BLOCK, "u2"))
    reader, path = BlockwiseFileset(fileset.address), Path(fileset.block_file(STARTS[1]))
    reader.read(WHOLE)
    assert reader.store.templates.get("v/d", BLOCK)[0].tail, "there is something behind the voxels"
    path.write_bytes(change(path.read_bytes()))
    check_as_hdf5_says(reader, Roi(STARTS[1], (8, 8, 10)))


def with_extra_dataset(path, voxels):
    plain(path, voxels)
    with h5py.File(path, "a") as file:
        file["pickled_region_features"] = np.arange(50)


def with_text_attribute(path, voxels):
    plain(path, voxels)
    with h5py.File(path, "a") as file:
        file["v/d"].attrs["note"] = "ä" * 300


def never_written(path, voxels):
    with h5py.File(path, "w") as file:
        file.create_dataset("v/d", voxels.shape, voxels.dtype)


def with_user_block(path, voxels):
    plain(path, voxels, userblock_size=512)
    with path.open("r+b") as file:
        file.write(b"#!" + bytes(range(256)))


def in_another_dtype(path, voxels):
    plain(path, voxels.astype("f4"))


def big_endian(path, voxels):
    plain(path, voxels.astype(">u2"))


def in_chunks(path, voxels):
    with h5py.File(path, "w") as file:
        file.create_dataset("v/d", data=voxels, chunks=(2, 4, 5), compression="lzf", fletcher32=True)


def behind_a_link(path, voxels):
    plain(path.with_suffix(".other"), voxels)
    with h5py.File(path, "w") as file:
        file["v/d"] = h5py.ExternalLink(f"{path.stem}.other", "v/d")


def external(path, voxels):
    with h5py.File(path, "w") as file:
        name = f"{path}.raw"
        Path(name).write_bytes(voxels.tobytes())
        file.create_dataset("v/d", voxels.shape, voxels.dtype, external=[(name, 0, voxels.nbytes)])


def compact(path, voxels):
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(voxels.shape)
        kind = h5py.h5t.py_create(voxels.dtype)
        h5py.h5d.create(file.create_group("v").id, b"d", kind, space, plist).write(space, space, voxels)


MAKES = {
    "another libver": lambda path, voxels: plain(path, voxels, libver="latest"),
    "libver v110": lambda path, voxels: plain(path, voxels, libver=("v110", "v110")),
    "a user block": with_user_block,
    "an extra dataset": with_extra_dataset,
    "another attribute": with_text_attribute,
    "never written": never_written,
    "another dtype": in_another_dtype,
    "another byte order": big_endian,
    "chunks and foreign filters": in_chunks,
    "an external link": behind_a_link,
    "external voxels": external,
    "compact voxels": compact,
    "aligned": lambda path, voxels: plain(path, voxels, alignment_threshold=1, alignment_interval=4096),
    "paged": lambda path, voxels: plain(path, voxels, fs_strategy="page", fs_page_size=4096),
}


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_files_of_any_make_give_the_voxels_that_hdf5_gives(fileset, make, first):
    for start in STARTS[1:] if first == "ours" else STARTS[:2]:
        make(Path(fileset.block_file(start)), sample(SHAPE, "u2")[start[0] : start[0] + 4] + 7)
    expected = np.empty(SHAPE, "u2")
    for start in STARTS:
        with h5py.File(fileset.block_file(start)) as file:
            expected[start[0] : start[0] + 4] = file["v/d"][...]
    reader = BlockwiseFileset(fileset.address)
    for _ in range(3):
        np.testing.assert_array_equal(reader.read(WHOLE), expected)
        part = Roi((1, 2, 3), (11, 7, 4))
        np.testing.assert_array_equal(reader.read(part), expected[part.to_slice()])


def test_the_time_of_making_may_differ_and_is_all_that_may(fileset, by_hdf5):
    for number, start in enumerate(STARTS):
        path, voxels = Path(fileset.block_file(start)), sample(SHAPE, "u2")[start[0] : start[0] + 4]
        with h5py.File(path, "w") as file:
            file.create_dataset("v/d", data=voxels, track_times=True)
        with h5py.File(path) as file:
            made_at = h5py.h5g.get_objinfo(file["v/d"].id).mtime
        content = path.read_bytes()
        assert content.count(made_at.to_bytes(4, "little")) == 1
        path.write_bytes(
            content.replace(made_at.to_bytes(4, "little"), (10**9 + number).to_bytes(4, "little"))
        )
    reader = BlockwiseFileset(fileset.address)
    np.testing.assert_array_equal(reader.read(WHOLE), sample(SHAPE, "u2"))
    assert len(by_hdf5) == 1
    path = Path(fileset.block_file(STARTS[1]))
    content = path.read_bytes()
    path.write_bytes(flip(content, content.index((10**9 + 1).to_bytes(4, "little")) + 4))
    with contextlib.suppress(CorruptBlock):
        reader.read(WHOLE)
    assert by_hdf5[1:] == [fileset.block_file(STARTS[1])]


def test_where_every_file_is_of_another_make_learning_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "_MOST_FAILURES", 3)
    fileset = BlockwiseFileset.create(tmp_path / "v.json", described())
    fileset.write(WHOLE, sample(SHAPE, "u2"))
    reader = BlockwiseFileset(fileset.address)
    tried = []
    original = contiguous.template_of
    monkeypatch.setattr(contiguous, "template_of", lambda *args: (tried.append(args), original(*args))[1])
    for number in range(9):
        path = fileset.block_file(STARTS[0])
        plain(path, sample(BLOCK, "u2"))
        with h5py.File(path, "a") as file:
            file["v/d"].attrs["number"] = number
        np.testing.assert_array_equal(reader.read(Roi((0, 0, 0), BLOCK)), sample(BLOCK, "u2"))
    assert len(tried) == 3


@pytest.mark.parametrize("dtype", ["u1", "bool", "<u2", ">u2", "f2", "f4", ">f8", "c8", "i8"])
@pytest.mark.parametrize("shape", [(4, 8, 10), (1, 1, 1), (1, 7, 3)])
@pytest.mark.parametrize("drange", [None, (0.0, 9.0)])
def test_what_is_written_without_hdf5_is_what_hdf5_writes_to_the_byte(dtype, shape, drange):
    layout = DatasetLayout(np.dtype(dtype), "zyx", drange=drange)
    template = template_of_new(layout, "v/d", shape)
    assert template is not None
    voxels = sample(shape, dtype)
    image = new_image(layout, "v/d", shape, Roi.from_shape(shape), voxels)
    assert template.head + voxels.tobytes() + template.tail == image


@pytest.mark.parametrize("options", [{"chunks": (2, 2, 2)}, {"compression": "gzip"}])
def test_chunks_are_not_in_one_known_piece(options):
    assert template_of_new(DatasetLayout(np.dtype("u1"), "zyx", **options), "v/d", BLOCK) is None


def test_a_layout_that_hdf5_refuses_is_told_as_always(tmp_path):
    fileset = BlockwiseFileset.create(tmp_path / "v.json", described(compression="nonsense"))
    with pytest.raises(StorageError, match="nonsense"):
        fileset.write(WHOLE, sample(SHAPE, "u2"))


@given(st.data())
@settings(deadline=None)
def test_any_part_into_any_target_is_read_right(data):
    ndim = data.draw(st.integers(1, 4))
    shape = tuple(data.draw(st.integers(1, 7)) for _ in range(ndim))
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    part = Roi(start, tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)))
    layout = DatasetLayout(np.dtype(data.draw(st.sampled_from(["u1", "u2", "f8"]))), "tzyx"[-ndim:])
    template = template_of_new(layout, "d", shape)
    voxels = sample(shape, layout.dtype)
    descriptor = os.memfd_create("block")
    try:
        os.write(descriptor, template.head + voxels.tobytes() + template.tail)
        room = np.zeros(tuple(n + data.draw(st.integers(0, 2)) for n in part.shape), layout.dtype)
        target = room[tuple(slice(0, n) for n in part.shape)]
        assert template.read(descriptor, shape, part, target)
        np.testing.assert_array_equal(target, voxels[part.to_slice()])
        outside = room.copy()
        outside[tuple(slice(0, n) for n in part.shape)] = 0
        assert not outside.any()
    finally:
        os.close(descriptor)


def test_large_planes_are_read_in_pieces_and_tiny_parts_of_them_left_to_hdf5(tmp_path, by_hdf5):
    shape = (5, 700, 1500)
    description = FilesetDescription(
        axes="zyx", shape=shape, dtype="u1", block_shape=shape, block_file_name_format="b{roiString}.h5/v/d"
    )
    fileset = BlockwiseFileset.create(tmp_path / "v.json", description)
    voxels = sample(shape)
    fileset.write(Roi.from_shape(shape), np.asfortranarray(voxels))
    for part in (
        Roi((1, 0, 0), (4, 700, 1500)),
        Roi((0, 5, 1), (5, 700, 1400)),
        Roi((2, 1, 1), (3, 600, 900)),
    ):
        np.testing.assert_array_equal(fileset.read(part), voxels[part.to_slice()])
    assert by_hdf5 == []
    np.testing.assert_array_equal(fileset.read(Roi((0, 1, 1), (5, 3, 3))), voxels[:, 1:3, 1:3])
    assert len(by_hdf5) == 1


def test_threads_learn_and_read_side_by_side(fileset):
    reader, wrong = BlockwiseFileset(fileset.address), []

    def read():
        for _ in range(20):
            if not np.array_equal(reader.read(WHOLE), sample(SHAPE, "u2")):
                wrong.append(threading.get_ident())

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_no_descriptor_stays_open(fileset):
    before = len(os.listdir("/proc/self/fd"))
    fileset.read(WHOLE)
    os.truncate(fileset.block_file(STARTS[1]), 100)
    with pytest.raises(CorruptBlock):
        fileset.read(WHOLE)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_known_travels_with_a_pickle_and_is_bounded():
    files = FileTemplates()
    template = template_of_new(DatasetLayout(np.dtype("u1"), "x"), "d", (3,))
    for number in range(300):
        files.add(f"d{number}", (3,), template)
    assert files.get("d299", (3,)) == (template,)
    assert len(files._templates) <= catalogue._MOST_KEYS
    assert pickle.loads(pickle.dumps(files)).get("d299", (3,)) == (template,)
