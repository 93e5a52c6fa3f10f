import numpy as np
import pytest

from blockmill.shared.errors import JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.base.memory import MemoryVolume, default_axes
from blockmill.shared.volumes.conformance import VolumeTests


class TestMemoryVolume(VolumeTests):
    def make(self, directory, data, axes):
        return MemoryVolume(data.copy(), axes)


def test_axes_default_to_the_last_letters_of_tczyx():
    assert [default_axes(n) for n in (1, 2, 3, 4, 5)] == ["x", "yx", "zyx", "czyx", "tczyx"]
    assert len(set(default_axes(9))) == 9
    assert MemoryVolume(np.zeros((2, 3))).axes == "yx"


def test_writes_go_into_the_very_array():
    array = np.zeros((4, 4), "u1")
    MemoryVolume(array).write(Roi((0, 0), (1, 2)), np.full((1, 2), 7, "u1"))
    assert array[0].tolist() == [7, 7, 0, 0]


@pytest.mark.parametrize(
    ("array", "axes"),
    [
        (np.zeros((2, 2)), "x"),
        (np.zeros((2, 2)), "xx"),
        (np.array(5), None),
        (np.array([None]), None),
        (np.array(["a"]), None),
    ],
)
def test_what_is_no_volume_is_refused(array, axes):
    with pytest.raises(JobError):
        MemoryVolume(array, axes)
