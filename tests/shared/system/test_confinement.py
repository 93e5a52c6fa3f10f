"""What the kernel lets a confined thread open, wherever links lead."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from blockmill.shared.system.confinement import Confinement, can_confine, confine_thread

needs_kernel = pytest.mark.skipif(not can_confine(), reason="this kernel has no Landlock")


@pytest.fixture
def folders(tmp_path):
    data, outside = tmp_path / "dätä x", tmp_path / "outside"
    data.mkdir()
    outside.mkdir()
    np.save(data / "in.npy", np.arange(6))
    np.save(outside / "in.npy", -np.arange(6))
    return data, outside


@pytest.fixture
def confined(folders):
    """Runs a function in a thread that is confined to the first folder."""
    with ThreadPoolExecutor(
        1, initializer=confine_thread, initargs=(Confinement((str(folders[0]),)),)
    ) as one:
        yield lambda function, *args: one.submit(function, *args).result()


@needs_kernel
def test_files_below_the_folder_are_used_as_ever(folders, confined):
    data, _ = folders
    (data / "link.npy").symlink_to(data / "in.npy")

    def use():
        (data / "sub").mkdir()
        (data / "sub" / "part").write_text("x")
        (data / "sub" / "part").rename(data / "whole")  # into another folder, as outputs get their names
        with open(data / "whole", "r+") as file:
            file.truncate(0)
        (data / "sub").rmdir()
        with h5py.File(data / "v.h5", "w") as file:
            file["v"] = np.arange(6)
        with h5py.File(data / "v.h5") as file:
            return [np.load(data / "in.npy"), np.load(data / "link.npy"), file["v"][:]]

    for voxels in confined(use):
        np.testing.assert_array_equal(voxels, np.arange(6))


@needs_kernel
def test_no_link_leads_out_of_it(folders, confined):
    data, outside = folders
    (data / "swap.npy").symlink_to(outside / "in.npy")
    (data / "dir").symlink_to(outside)
    for path in (data / "swap.npy", data / "dir" / "in.npy", outside / "in.npy"):
        with pytest.raises(PermissionError):
            confined(np.load, path)
    with pytest.raises(PermissionError):
        confined((data / "dir" / "new").write_text, "x")
    with pytest.raises(PermissionError):
        confined((data / "in.npy").rename, data / "dir" / "moved.npy")
    with pytest.raises(PermissionError):
        confined((data / "dir" / "in.npy").unlink)
    assert sorted(path.name for path in outside.iterdir()) == ["in.npy"]


@needs_kernel
def test_no_file_that_hdf5_opens_by_itself_lies_outside(folders, confined):
    data, outside = folders
    with h5py.File(outside / "x.h5", "w") as file:
        file["v"] = np.arange(6)
    with h5py.File(data / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink(str(outside / "x.h5"), "/v")
        raw = [(str(outside / "in.npy"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("raw", (4,), "u1", external=raw)

    def read(name):
        with h5py.File(data / "a.h5") as file:
            return file[name][...]

    with h5py.File(data / "a.h5") as file:
        np.testing.assert_array_equal(file["link"][:], np.arange(6))  # whoever is not confined reads it
    for name in ("link", "raw"):
        with pytest.raises((OSError, KeyError)):
            confined(read, name)


@needs_kernel
def test_other_threads_are_as_free_as_before(folders, confined):
    _, outside = folders
    with pytest.raises(PermissionError):
        confined(np.load, outside / "in.npy")
    np.testing.assert_array_equal(np.load(outside / "in.npy"), -np.arange(6))
    read = []
    thread = threading.Thread(target=lambda: read.append(np.load(outside / "in.npy")))
    thread.start()
    thread.join()
    assert len(read) == 1


@needs_kernel
def test_a_folder_that_is_not_there_is_no_hindrance(folders):
    data, _ = folders
    confinement = Confinement((str(data), str(data / "nosuch")), code=(str(data / "nosuch"),))
    with ThreadPoolExecutor(1) as one:
        assert one.submit(confine_thread, confinement).result()
        assert one.submit(os.listdir, data).result() == ["in.npy"]


def test_who_may_go_anywhere_is_not_confined(folders):
    with ThreadPoolExecutor(1) as one:
        assert not one.submit(confine_thread, Confinement()).result()
        np.testing.assert_array_equal(one.submit(np.load, folders[1] / "in.npy").result(), -np.arange(6))
