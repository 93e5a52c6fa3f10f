import subprocess
import sys

import h5py
import hdf5plugin
import numpy as np
import pytest

from blockmill.shared.errors import CorruptBlock, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5 import codecs, plugins
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume

SHAPE = (32, 40)
WHOLE = Roi.from_shape(SHAPE)
READ = """
import sys
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
assert "hdf5plugin" not in sys.modules
fileset = BlockwiseFileset(sys.argv[1], "a")
print(int(fileset.read(Roi((0, 0), (32, 40))).sum()))
fileset.write(Roi((0, 0), (1, 40)), fileset.read(Roi((1, 0), (2, 40))), status="all")
print("hdf5plugin" in sys.modules)
"""


@pytest.fixture
def fileset(tmp_path):
    made = BlockwiseFileset.create(
        tmp_path / "v.json",
        FilesetDescription(
            axes="yx", shape=SHAPE, dtype="u4", block_shape=SHAPE, block_file_name_format="b{roiString}.h5/d"
        ),
    )
    made.write(WHOLE, sample(SHAPE, "u4"))
    return made


def pack(fileset, **options):
    with h5py.File(fileset.block_file((0, 0)), "w") as file:
        file.create_dataset("d", data=sample(SHAPE, "u4"), chunks=(32, 40), **options)


@pytest.mark.parametrize(
    "kind", [hdf5plugin.Zstd, hdf5plugin.Blosc2, hdf5plugin.Blosc, hdf5plugin.LZ4, hdf5plugin.Bitshuffle]
)
def test_the_plugin_is_imported_when_a_block_asks_for_it(fileset, kind):
    pack(fileset, **kind())
    command = [sys.executable, "-c", READ, fileset.address]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(int(sample(SHAPE, "u4").sum())), "True"]
    np.testing.assert_array_equal(fileset.read(Roi((1, 0), SHAPE)), sample(SHAPE, "u4")[1:])


def test_without_the_plugin_it_is_told_what_to_install(fileset, monkeypatch):
    pack(fileset, **hdf5plugin.Blosc2())
    monkeypatch.setattr(codecs, "_has_blosc2", lambda: False)
    monkeypatch.setattr(plugins, "_is_available", lambda _code: False)
    part = Roi((0, 0), (1, 1))
    for act in (lambda: fileset.read(WHOLE), lambda: fileset.write(part, np.ones((1, 1), "u4"))):
        with pytest.raises(StorageError, match=r"32026.*blockmill\[compression\]") as caught:
            act()
        assert not isinstance(caught.value, CorruptBlock)


def unreadable(path, *, virtual):
    """A dataset whose one chunk is packed by zstd, as its number alone says."""
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(SHAPE)
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        dataset = h5py.h5d.create(file.id, b"v", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple(SHAPE), plist)
        dataset.write_direct_chunk((0, 0), b"\x28\xb5\x2f\xfd" + b"x" * 60)
        if virtual:
            layout = h5py.VirtualLayout(SHAPE, "u1")
            layout[...] = h5py.VirtualSource(".", "v", SHAPE)
            file.create_virtual_dataset("all", layout)


@pytest.mark.skipif(
    h5py.version.hdf5_version_tuple < (2, 0, 0),
    reason="a plugin of that time reads a damaged frame as zeros, so there is no failure to name",
)
@pytest.mark.parametrize("name", ["v", "all"])
def test_the_missing_filter_of_a_dataset_is_named_with_the_package(tmp_path, monkeypatch, name):
    unreadable(tmp_path / "f.h5", virtual=True)
    monkeypatch.setattr(plugins, "_is_available", lambda _code: False)
    volume = Hdf5Volume(tmp_path / "f.h5", name)
    with pytest.raises(StorageError, match=r"32015 \(zstd\).*package hdf5plugin"):
        volume.read(WHOLE)
    volume.close()


READ_DATASET = """
import sys
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.registry import open_volume
volume = open_volume(sys.argv[1])
print(int(volume.read(Roi((0, 0), (32, 40))).sum()))
"""


@pytest.mark.parametrize("kind", [hdf5plugin.Zstd, hdf5plugin.LZ4, hdf5plugin.Bitshuffle, hdf5plugin.Blosc])
@pytest.mark.parametrize("name", ["v", "all"])
def test_the_plugin_is_used_for_datasets_and_sources_of_virtual_ones(tmp_path, kind, name):
    voxels = sample(SHAPE, "u4")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("v", data=voxels, chunks=(8, 40), **kind())
        layout = h5py.VirtualLayout(SHAPE, "u4")
        layout[...] = h5py.VirtualSource(".", "v", SHAPE)
        file.create_virtual_dataset("all", layout)
    command = [sys.executable, "-c", READ_DATASET, f"{tmp_path}/f.h5/{name}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) == int(voxels.sum())


def test_a_dataset_whose_chunks_were_not_put_through_the_missing_filter_is_read(tmp_path, monkeypatch):
    voxels = sample(SHAPE, "u1")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(SHAPE)
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        dataset = h5py.h5d.create(file.id, b"v", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple(SHAPE), plist)
        dataset.write_direct_chunk((0, 0), voxels.tobytes(), filter_mask=1)
    monkeypatch.setattr(plugins, "_is_available", lambda _code: False)
    np.testing.assert_array_equal(Hdf5Volume(tmp_path / "f.h5", "v").read(WHOLE), voxels)
