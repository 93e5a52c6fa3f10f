"""Chunks that are packed and unpacked outside HDF5 are those of HDF5."""

import io
import shutil
import subprocess
import zlib

import h5py
import hdf5plugin
import numpy as np
import pytest

from blockmill.shared.errors import CorruptBlock
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.block_file import read_part
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5 import chunks
from blockmill.shared.volumes.hdf5.chunks import read_chunks, write_chunks
from blockmill.shared.volumes.hdf5.layout import DatasetLayout, new_image

SHAPE = (20, 24, 28)
WHOLE = Roi.from_shape(SHAPE)
PART = Roi((3, 0, 9), (19, 23, 10))


def soft(shape, dtype="u1"):
    """Voxels that can be packed, as images can."""
    rng = np.random.default_rng(0)
    return (np.indices(shape).sum(0) + rng.normal(0, 2, shape)).astype(dtype)


@pytest.fixture
def by_hand(monkeypatch):
    """What came of each try to read a dataset outside HDF5."""
    ends = []
    from blockmill.shared.volumes.blockwise import block_file

    monkeypatch.setattr(
        block_file, "read_chunks", lambda *args: (ends.append(read_chunks(*args)), ends[-1])[1]
    )
    return ends


@pytest.mark.parametrize("level", [None, *range(10)])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4", "bool"])
@pytest.mark.parametrize("chunk", [SHAPE, (16, 16, 28), None])
def test_whatever_is_packed_here_is_read_by_plain_hdf5(level, dtype, chunk):
    layout = DatasetLayout(np.dtype(dtype), "zyx", chunk, "gzip", level)
    voxels = soft(SHAPE, dtype)
    with h5py.File(io.BytesIO(new_image(layout, "v/d", SHAPE, WHOLE, voxels))) as file:
        assert file["v/d"].compression == "gzip"
        assert file["v/d"].compression_opts == (4 if level is None else level)
        np.testing.assert_array_equal(file["v/d"][...], voxels)


@pytest.mark.parametrize("kind", ["image", "labels"])
@pytest.mark.parametrize("level", range(10))
def test_the_level_that_was_asked_for_is_kept(level, kind):
    shape = (64, 64, 64)
    voxels = soft(shape) if kind == "image" else (np.indices(shape).sum(0) // 20).astype("u4")
    layout = DatasetLayout(voxels.dtype, "zyx", voxels.shape, "gzip", level)
    image = new_image(layout, "d", voxels.shape, Roi.from_shape(voxels.shape), voxels)
    with h5py.File(io.BytesIO(image)) as file:
        size_bytes = file["d"].id.get_storage_size()
    # At level 1 speed is what is asked for: the packed size varies with the packer.
    assert size_bytes <= (1.4 if level == 1 else 1.05) * len(zlib.compress(voxels.tobytes(), level))


def test_what_can_not_be_packed_is_kept_as_it_is_and_says_so():
    voxels = np.random.default_rng(0).integers(0, 256, SHAPE, "u1")
    image = new_image(DatasetLayout(voxels.dtype, "zyx", SHAPE, "gzip", 1), "d", SHAPE, WHOLE, voxels)
    with h5py.File(io.BytesIO(image)) as file:
        assert file["d"].id.get_chunk_info(0).filter_mask == 1
        assert file["d"].id.get_storage_size() == voxels.nbytes
        np.testing.assert_array_equal(file["d"][...], voxels)
        again = np.empty_like(voxels)
        assert read_chunks(file["d"].id, WHOLE, again)
        np.testing.assert_array_equal(again, voxels)


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not installed")
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_h5dump_reads_what_is_written(tmp_path, compression):
    voxels = soft(SHAPE)
    layout = DatasetLayout(voxels.dtype, "zyx", compression and SHAPE, compression, compression and 1)
    (tmp_path / "b.h5").write_bytes(new_image(layout, "v/d", SHAPE, WHOLE, voxels))
    command = ["h5dump", "-d", "v/d", "-b", "LE", "-o", str(tmp_path / "out"), str(tmp_path / "b.h5")]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "out").read_bytes() == voxels.tobytes()


PACKED = {
    "gzip": ({"compression": "gzip"}, True),
    "gzip and shuffle": ({"compression": "gzip", "shuffle": True}, True),
    "zstd": (dict(hdf5plugin.Zstd()), True),
    "zstd and shuffle": ({**hdf5plugin.Zstd(), "shuffle": True}, True),
    "lzf": ({"compression": "lzf"}, False),
    "a checksum": ({"compression": "gzip", "fletcher32": True}, False),
    "scale and offset": ({"scaleoffset": 0}, False),
    "blosc2": (dict(hdf5plugin.Blosc2()), True),
    "blosc2 and zstd, bits shuffled": (
        dict(hdf5plugin.Blosc2(cname="zstd", clevel=1, filters=hdf5plugin.Blosc2.BITSHUFFLE)),
        True,
    ),
    "blosc": (dict(hdf5plugin.Blosc()), False),
    "no filter": ({}, False),
}


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u4", "u8"])
@pytest.mark.parametrize("chunk", [SHAPE, (16, 16, 28)])
@pytest.mark.parametrize(("options", "outside"), PACKED.values(), ids=PACKED)
def test_packed_datasets_are_read_right(tmp_path, by_hand, options, outside, chunk, dtype):
    path, voxels = str(tmp_path / "b.h5"), soft(SHAPE, dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=voxels, chunks=chunk, **options)
    for part in (WHOLE, PART):
        np.testing.assert_array_equal(read_part(path, "d", part), voxels[part.to_slice()])
        room = np.zeros((40, 40, 40), dtype)
        target = room[tuple(slice(2, 2 + n) for n in part.shape)]
        assert read_part(path, "d", part, target) is target
        np.testing.assert_array_equal(target, voxels[part.to_slice()])
    assert by_hand == [outside] * 4


def test_a_chunk_that_was_never_written_reads_as_hdf5_says(tmp_path, by_hand):
    path = str(tmp_path / "b.h5")
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", SHAPE, "u2", chunks=(16, 16, 28), compression="gzip", fillvalue=7)
        dataset[:4] = 1
    voxels = read_part(path, "d", WHOLE)
    assert by_hand == [False]
    assert voxels[:4].min() == voxels[:4].max() == 1
    assert voxels[16:].min() == voxels[16:].max() == 7


def test_filters_that_a_chunk_was_spared_are_left_out(tmp_path, by_hand):
    path, voxels = str(tmp_path / "b.h5"), soft(SHAPE, "u2")
    shuffled = voxels.reshape(-1).view("u1").reshape(-1, 2).T.tobytes()
    for mask, content in (
        (0b11, voxels.tobytes()),
        (0b10, shuffled),
        (0b01, zlib.compress(voxels.tobytes())),
    ):
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("d", SHAPE, "u2", chunks=SHAPE, compression="gzip", shuffle=True)
            dataset.id.write_direct_chunk((0, 0, 0), content, mask)
        np.testing.assert_array_equal(read_part(path, "d", WHOLE), voxels)
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["d"][...], voxels)
    assert by_hand == [True] * 3


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-9], lambda c: c[:50] + b"\xff" * 9 + c[59:], lambda c: c[9:]]
)
def test_a_damaged_chunk_is_told(tmp_path, by_hand, damage):
    path = str(tmp_path / "b.h5")
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", SHAPE, "u1", chunks=SHAPE, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), damage(zlib.compress(soft(SHAPE).tobytes())))
    with pytest.raises(CorruptBlock, match="can't be read"):
        read_part(path, "d", WHOLE)
    assert by_hand == [False]


def test_a_chunk_that_unpacks_to_less_than_a_chunk_is_hdf5s_business(tmp_path, by_hand):
    path = str(tmp_path / "b.h5")
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", SHAPE, "u1", chunks=SHAPE, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), zlib.compress(b"short"))
    with h5py.File(path) as file:
        assert not read_chunks(file["d"].id, WHOLE, np.empty(SHAPE, "u1"))


@pytest.mark.parametrize(
    "options", [{"compression": "lzf"}, {"compression": "gzip", "fletcher32": True}, {}], ids=str
)
def test_other_filters_are_written_by_hdf5(options):
    with h5py.File("m", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("d", SHAPE, "u1", chunks=SHAPE, **options)
        assert not write_chunks(dataset.id, soft(SHAPE))
        assert dataset.id.get_num_chunks() == 0


def test_tiny_chunks_are_left_to_hdf5(tmp_path, by_hand):
    path, voxels = str(tmp_path / "b.h5"), sample(SHAPE)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=voxels, chunks=(2, 2, 2), compression="gzip")
    np.testing.assert_array_equal(read_part(path, "d", WHOLE), voxels)
    assert by_hand == [False]
    assert chunks._SMALLEST_CHUNK_BYTES > 8
