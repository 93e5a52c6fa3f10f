"""Reading and writing packed blocks without HDF5: what HDF5 reads and writes, or HDF5 does it."""

import os
import struct
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fast.image import packed_image
from blockmill.shared.volumes.blockwise.fast.packed import image_and_template, template_of
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.hdf5.layout import DatasetLayout, axistags, new_image

SHAPE, BLOCK = (48, 16, 20), (16, 16, 20)
WHOLE, STARTS = Roi((0, 0, 0), SHAPE), ((0, 0, 0), (16, 0, 0), (32, 0, 0))
SECOND = Roi(STARTS[1], (32, 16, 20))


def noisy(shape=SHAPE, dtype="u2", seed=0):
    """Voxels that pack to another size in each block."""
    rng = np.random.default_rng(seed)
    voxels = np.indices(shape).sum(0) * 20 + rng.normal(0, np.linspace(1, 50, shape[2]), shape)
    return (voxels / 20 if dtype == "u1" else voxels).astype(dtype)


@pytest.fixture
def fileset(tmp_path):
    made = BlockwiseFileset.create(
        tmp_path / "v.json",
        FilesetDescription(
            axes="zyx",
            shape=SHAPE,
            dtype="u2",
            block_shape=BLOCK,
            block_file_name_format="b{roiString}.h5/v/d",
            chunks=(64, 64, 64),
            compression="gzip",
            compression_opts=1,
        ),
    )
    made.write(WHOLE, noisy())
    return made


def theirs(path, voxels, **options):
    """A file as the original writes it."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("v/d", voxels.shape, voxels.dtype, chunks=voxels.shape, **options)
        dataset.attrs["axistags"] = axistags("zyx")
        dataset[...] = voxels


def test_one_file_is_enough_to_learn_from_though_each_chunk_has_another_size(fileset, by_hdf5):
    assert len({os.path.getsize(fileset.block_file(start)) for start in STARTS}) == 3
    reader = BlockwiseFileset(fileset.address)
    np.testing.assert_array_equal(reader.read(WHOLE), noisy())
    assert by_hdf5 == [fileset.block_file(STARTS[0])]
    part = Roi((3, 4, 5), (40, 6, 20))
    np.testing.assert_array_equal(reader.read(part), noisy()[part.to_slice()])
    np.testing.assert_array_equal(fileset.read(WHOLE), noisy())
    assert len(by_hdf5) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True},
        {**hdf5plugin.Zstd(), "shuffle": True},
        dict(hdf5plugin.Blosc2()),
    ],
    ids=str,
)
def test_files_of_others_are_learned_from_too(fileset, by_hdf5, options):
    for start in STARTS:
        theirs(fileset.block_file(start), noisy()[start[0] : start[0] + 16], **options)
    reader = BlockwiseFileset(fileset.address)
    np.testing.assert_array_equal(reader.read(WHOLE), noisy())
    assert len(by_hdf5) == 1


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def with_a_longer_chunk(content):
    """A byte more that belongs to the file, and says so in one of the two places."""
    size = struct.pack("<Q", len(content))
    assert content.count(size) == 1
    return content.replace(size, struct.pack("<Q", len(content) + 1)) + b"\0"


def unpackable(_):
    voxels = np.random.default_rng(0).integers(0, 1 << 16, BLOCK, "u2")
    layout = DatasetLayout(np.dtype("u2"), "zyx", BLOCK, "gzip", 1)
    return new_image(layout, "v/d", BLOCK, Roi.from_shape(BLOCK), voxels)


STRANGERS = {
    "a letter of an attribute": lambda content: flip(content, content.index(b"typeFlags")),
    "the packed voxels": lambda content: flip(content, len(content) - 20),
    "the checksum of the packed voxels": lambda content: flip(content, len(content) - 1),
    "the size of the file": lambda content: flip(content, content.index(struct.pack("<Q", len(content)))),
    "a byte less": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "a byte more that is told": with_a_longer_chunk,
    "only the head": lambda content: content[:3000],
    "nothing": lambda content: b"",
    "a chunk that was spared the filter": unpackable,
}


@pytest.mark.parametrize("change", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_is_what_hdf5_says_it_is(fileset, change, check_as_hdf5_says):
    path = Path(fileset.block_file(SECOND.start))
    path.write_bytes(change(path.read_bytes()))
    check_as_hdf5_says(fileset, SECOND)


MAKES = {
    "shuffled": ("u2", {"compression": "gzip", "compression_opts": 1, "shuffle": True}),
    "another level": ("u2", {"compression": "gzip", "compression_opts": 7}),
    "another dtype": ("u1", {"compression": "gzip", "compression_opts": 1}),
    "not packed": ("u2", {}),
}


@pytest.mark.parametrize(("dtype", "options"), MAKES.values(), ids=MAKES)
def test_a_file_of_another_make_is_what_hdf5_says_it_is(fileset, dtype, options, check_as_hdf5_says):
    theirs(fileset.block_file(SECOND.start), noisy(BLOCK, dtype), **options)
    check_as_hdf5_says(fileset, SECOND)


@pytest.mark.parametrize("dtype", ["u1", "bool", ">u2", "f4", "i8"])
@pytest.mark.parametrize("level", [None, 1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_written_without_hdf5_is_what_hdf5_writes_to_the_byte(dtype, level, seed):
    voxels = noisy(BLOCK, dtype, seed)
    layout = DatasetLayout(np.dtype(dtype), "zyx", BLOCK, "gzip", level)
    _, template = image_and_template(layout, "v/d", noisy(BLOCK, dtype, seed=9))
    assert template is not None
    image = packed_image(template, voxels)
    content = b"".join(bytes(buffer) for buffers in image for buffer in buffers)
    assert content == new_image(layout, "v/d", BLOCK, Roi.from_shape(BLOCK), voxels)
    assert len(content) == image.size_bytes


@given(st.integers(0, 2**32), st.floats(0, 300))
def test_any_voxels_are_read_back_by_plain_hdf5(tmp_path_factory, seed, noise):
    rng = np.random.default_rng(seed)
    voxels = (np.indices(BLOCK).sum(0) * 9 + rng.normal(0, noise, BLOCK)).clip(0).astype("u2")
    layout = DatasetLayout(np.dtype("u2"), "zyx", BLOCK, "gzip", 1)
    _, template = image_and_template(layout, "v/d", noisy(BLOCK))
    image = packed_image(template, voxels)
    path = tmp_path_factory.getbasetemp() / "any.h5"
    path.write_bytes(b"".join(bytes(buffer) for buffers in image for buffer in buffers))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["v/d"][...], voxels)


def test_what_can_not_be_packed_is_written_by_hdf5(fileset):
    voxels = np.random.default_rng(1).integers(0, 1 << 16, BLOCK, "u2")
    fileset.write(SECOND, voxels)
    with h5py.File(fileset.block_file(STARTS[1])) as file:
        np.testing.assert_array_equal(file["v/d"][...], voxels)
    np.testing.assert_array_equal(fileset.read(SECOND), voxels)
    assert fileset.verify_block(STARTS[1]) is None


def test_numbers_that_stand_in_two_places_teach_nothing(tmp_path):
    path = tmp_path / "b.h5"
    theirs(path, noisy(BLOCK), compression="gzip")
    with h5py.File(path) as file:
        assert template_of(file.id, file["v/d"].id) is not None
        size = file["v/d"].id.get_chunk_info(0).size
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("v/d", BLOCK, "u2", chunks=BLOCK, compression="gzip")
        dataset.attrs["same number"] = np.uint32(size)
        dataset[...] = noisy(BLOCK)
    with h5py.File(path) as file:
        assert template_of(file.id, file["v/d"].id) is None


@pytest.mark.parametrize(
    "layout",
    [
        DatasetLayout(np.dtype("u2"), "zyx"),
        DatasetLayout(np.dtype("u2"), "zyx", (16, 16, 16), "gzip", 1),
        DatasetLayout(np.dtype("u2"), "zyx", BLOCK, "lzf"),
        DatasetLayout(np.dtype("u2"), "zyx", BLOCK),
    ],
    ids=str,
)
def test_other_layouts_are_not_one_packed_chunk(layout):
    content, template = image_and_template(layout, "v/d", noisy(BLOCK))
    assert template is None
    assert content == new_image(layout, "v/d", BLOCK, Roi.from_shape(BLOCK), noisy(BLOCK))
