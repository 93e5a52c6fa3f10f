import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError, OutOfBounds
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.conformance import VolumeTests
from blockmill.shared.volumes.hdf5.live import LiveHdf5Volume
from blockmill.shared.volumes.registry import open_volume

VOXELS = np.arange(60, dtype="u2").reshape(5, 12)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("v", data=VOXELS, chunks=(2, 12), maxshape=(None, 12))
    return path


class TestLiveHdf5Volume(VolumeTests):
    writable = False

    def make(self, directory, data, axes):
        with h5py.File(directory / "a.h5", "w", libver="latest") as file:
            file.create_dataset("v", data=data, chunks=True, maxshape=(None, *data.shape[1:]))
            file["v"].attrs["axes"] = axes
        return LiveHdf5Volume(directory / "a.h5", "v")


def test_the_extent_is_kept_when_the_file_has_grown(path):
    volume = LiveHdf5Volume(path, "v", (3, 12))
    assert volume.shape == (3, 12)
    assert np.array_equal(volume.read(Roi((1, 2), (3, 9))), VOXELS[1:3, 2:9])
    with pytest.raises(OutOfBounds):
        volume.read(Roi((1, 2), (4, 9)))
    volume.close()


@pytest.mark.parametrize("extent", [(6, 12), (5, 13), (5,), (5, 12, 1)])
def test_a_smaller_file_is_refused(path, extent):
    with pytest.raises(JobError, match="when the job began"):
        open_volume(f"{path}/v", live=True, extent=extent)


def test_without_an_extent_that_of_the_file_counts(path):
    volume = open_volume(f"{path}/v", live=True)
    assert volume.shape == (5, 12)
    assert np.array_equal(volume.read(Roi.from_shape((5, 12))), VOXELS)
    volume.close()
