"""A mount whose file system has no locks: inputs are read, and outputs say what to do."""

import shutil
import subprocess

import h5py
import numpy as np
import pytest

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

# Answers flock as such a mount does, for all files below the folder NOLOCK.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int flock(int fd, int operation) {
    char link[64], target[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof target - 1);
    const char *folder = getenv("NOLOCK");
    if (size > 0 && folder) {
        target[size] = 0;
        if (!strncmp(target, folder, strlen(folder))) { errno = ENOLCK; return -1; }
    }
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return real(fd, operation);
}
"""


@pytest.fixture
def mount(bench):
    """A folder that seems to be on such a mount for the bench's commands."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    (bench.folder / "shim.c").write_text(SHIM)
    command = ["gcc", "-shared", "-fPIC", "-o", "shim.so", "shim.c", "-ldl"]
    subprocess.run(command, cwd=bench.folder, check=True, timeout=60)
    folder = bench.folder / "mount"
    folder.mkdir()
    bench.environ |= {"LD_PRELOAD": str(bench.folder / "shim.so"), "NOLOCK": str(folder)}
    bench.command = list(bench.command)  # an interpreter of its own, which loads the shim
    return folder


@pytest.mark.parametrize("address", ["in.npy", "in.h5/v", "in.json"])
def test_inputs_are_read(bench, mount, address):
    voxels = np.random.default_rng(0).integers(0, 200, (8, 9, 10)).astype("u1")
    np.save(mount / "in.npy", voxels)
    with h5py.File(mount / "in.h5", "w") as file:
        file["v"] = voxels
    description = FilesetDescription(
        axes="zyx",
        shape=(8, 9, 10),
        dtype="u1",
        block_shape=(4, 9, 10),
        block_file_name_format="b{roiString}.h5/d",
    )
    with BlockwiseFileset.create(mount / "in.json", description) as fileset:
        fileset.write(Roi((0, 0, 0), (8, 9, 10)), voxels, status="all")
    job = bench.job(input=f"mount/{address}", output="out.npy", operation="copy")
    bench.run("run", job, "-q")
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), voxels)


@pytest.mark.parametrize("address", ["out.npy", "out.h5/v", "out.json"])
def test_outputs_say_where_and_what_to_do(bench, mount, address):
    bench.volume()
    job = bench.job(input="in.npy", output=f"mount/{address}", operation="copy")
    _, err = bench.run("run", job, "-q", code=1)
    assert f"{mount}/.{address.split('/')[0]}.blockmill/lock" in err
    assert "its file system refuses locks (No locks available)" in err
    assert "NFS: with rpc.statd" in err
    assert list(mount.iterdir()) == []
