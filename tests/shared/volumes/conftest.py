import h5py
import numpy as np
import pytest

from blockmill.shared.errors import CorruptBlock
from blockmill.shared.volumes.blockwise import store


@pytest.fixture
def by_hdf5(monkeypatch):
    """The files that HDF5 was asked to read."""
    read = []
    original = store.read_part

    def noting(path, *args):
        read.append(path)
        return original(path, *args)

    monkeypatch.setattr(store, "read_part", noting)
    return read


@pytest.fixture
def check_as_hdf5_says(by_hdf5):
    """Checks that a block is read as HDF5 reads it, and by HDF5; what HDF5 can't read is corrupt."""

    def check(fileset, block):
        path = fileset.block_file(block.start)
        by_hdf5.clear()
        try:
            with h5py.File(path) as file:
                expected = file["v/d"][...]
        except (OSError, KeyError):
            with pytest.raises(CorruptBlock):
                fileset.read(block)
        else:
            np.testing.assert_array_equal(fileset.read(block), expected)
        assert by_hdf5 == [path]

    return check
