"""Few files, little memory, a tiny /dev/shm: the job is done, or ends with a reason; it never hangs."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from breakage import COMMAND, KINDS, copy_job, leavings
from scipy import ndimage

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
LONGEST_S = 100
MEMORY_CGROUP = Path("/sys/fs/cgroup/memory")


def need(*programs):
    if missing := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(f"there is no {', '.join(missing)}")


@pytest.fixture
def limited(bench):
    """Runs a job below a command that sets limits: `limited(prefix, job, **environ)`."""

    def run(prefix, job="job.yaml", **environ):
        bench.command = [*prefix, *COMMAND]
        bench.environ |= environ
        ended = bench.end_of("run", "--overwrite", job, timeout_s=LONGEST_S)
        bench.command = COMMAND
        for name in environ:
            del bench.environ[name]
        return ended

    return run


@pytest.fixture
def smoothed(bench):
    """A job that takes some memory, and what must come of it."""
    voxels = bench.volume(shape=(64, 128, 128))
    bench.job(input="in.npy", output="o.npy", operation={"gaussian": {"sigma": 2}})
    return ndimage.gaussian_filter(voxels, 2)


def is_right(bench, want):
    np.testing.assert_array_equal(np.load(bench.folder / "o.npy"), want)


@pytest.mark.parametrize("files", [256, 64, 40, 24, 16, 10])
def test_a_run_with_few_open_files(bench, limited, files):
    need("prlimit")
    voxels = bench.volume(shape=(64, 64, 64))
    code, out, err = limited(["prlimit", f"--nofile={files}:{files}"], copy_job(bench, "raw"))
    assert code == 0 or files <= 16, (code, err)
    if code == 0:
        np.testing.assert_array_equal(bench.read("o.json"), voxels)
    elif files == 16:
        assert "Traceback" not in out + err
        assert "Too many open files" in err
    assert leavings(bench.folder) == []


@pytest.mark.parametrize("files", [300, 256, 96])
def test_a_service_with_few_open_files(bench, files):
    need("prlimit")
    voxels = bench.volume(shape=(64, 64, 64))
    bench.command = ["prlimit", f"--nofile={files}:{files}", *COMMAND]
    bench.serve()
    bench.command = COMMAND
    bench.run("submit", "--wait", copy_job(bench, "npy"))
    bench.end_service()
    np.testing.assert_array_equal(np.load(bench.folder / "o.npy"), voxels)


@pytest.mark.parametrize("mib", [4000, 1000, 400, 300, 280, 240, 220, 200, 180, 160, 140, 120])
def test_a_run_with_little_address_space_ends(bench, limited, smoothed, mib):
    need("prlimit")
    code, _, err = limited(["prlimit", f"--as={mib << 20}"])
    assert code == 0 or mib <= 400, err
    if code == 0:
        is_right(bench, smoothed)
    else:
        assert err.strip() or code < 0
    kept = [".o.npy.blockmill/partial"] if code else []  # with what was merged the next run goes on
    assert set(leavings(bench.folder)) <= {*kept}


@pytest.mark.parametrize("mib", [400, 200, 120, 60])
def test_a_run_in_a_group_with_little_memory_ends(bench, smoothed, wait_until, mib):
    group = MEMORY_CGROUP / f"blockmill-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(mib << 20))
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    join = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    try:
        bench.command = ["sh", "-c", join, "sh", *COMMAND]
        code, _, _ = bench.end_of("run", "job.yaml", timeout_s=LONGEST_S)
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the end of all its processes")
    finally:
        (MEMORY_CGROUP / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()
    assert code == 0 or mib <= 120, code
    if code == 0:
        is_right(bench, smoothed)


def with_mounts(shell):
    """A command that has its own view of what is mounted, changed by a line of shell."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    need("unshare", "mount")
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("no mount namespace can be made here")
    return ["unshare", "-m", "sh", "-c", f'{shell} && exec "$@"', "sh"]


@pytest.mark.parametrize("size", ["64k", "1m"])
@pytest.mark.parametrize("environ", [{}, {"TMPDIR": "/dev/shm"}], ids=["shm", "shm and TMPDIR"])
def test_a_run_with_a_tiny_shared_memory_folder(bench, limited, smoothed, size, environ):
    code, _, err = limited(with_mounts(f"mount -t tmpfs -o size={size} tmpfs /dev/shm"), **environ)
    assert code == 0, err
    is_right(bench, smoothed)


def test_a_run_without_the_folders_for_temporary_files(bench, limited, smoothed):
    code, _, err = limited([], TMPDIR="/nonexistent", XDG_RUNTIME_DIR="/nonexistent")
    assert code == 0, err
    is_right(bench, smoothed)


def test_a_run_without_proc_ends_in_words(limited, smoothed):
    code, out, err = limited(with_mounts("umount -l /proc"))
    assert code != 0
    assert "Traceback" not in out + err
    assert "/proc" in err


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_on_the_size_of_files_is_told_and_harms_nothing(bench, limited, kind):
    need("prlimit")
    voxels = bench.volume(shape=(64, 64, 64))
    job = copy_job(bench, kind, block_shape=[64, 64, 64])
    code, out, err = limited(["prlimit", "--fsize=20000"], job)
    assert code == 1, (code, out, err)
    assert "Traceback" not in out + err
    assert "File too large" in err
    bench.run("run", job)
    np.testing.assert_array_equal(bench.read(KINDS[kind]["address"]), voxels)
    assert leavings(bench.folder) == []
