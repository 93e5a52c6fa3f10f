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
