"""What the system refuses is a sentence with the path, and with the folder that is closed."""

import errno
import os

import numpy as np
import pytest

from blockmill.daemon.runs.run import JobRun
from blockmill.shared.errors import StorageError
from blockmill.shared.files.refusals import in_words, storage_errors, system_errors
from blockmill.shared.jobs.job import Job
from blockmill.shared.system.impersonation import Identity, acting_as, user_name
from blockmill.shared.volumes.registry import open_volume

NOBODY = 65534


@pytest.fixture
def closed(tmp_path):
    """A folder that the user of the test may not enter, and its volumes; root becomes nobody for that."""
    folder = tmp_path / "closed"
    (folder / "inner").mkdir(parents=True)
    np.save(folder / "inner/in.npy", np.zeros((4, 4), "u1"))
    np.save(tmp_path / "in.npy", np.zeros((4, 4), "u1"))
    if os.geteuid() != 0:
        folder.chmod(0)
        yield folder, user_name(os.geteuid())
        folder.chmod(0o700)
        return
    folder.chmod(0o700)
    above = [p for p in (tmp_path, *tmp_path.parents) if p.is_relative_to("/tmp") and str(p) != "/tmp"]
    modes = [(path, path.stat().st_mode) for path in above]
    for path, mode in modes:
        path.chmod(mode & 0o7777 | 0o011)
    tmp_path.chmod(0o777)
    (tmp_path / "in.npy").chmod(0o644)
    with acting_as(Identity(NOBODY, NOBODY, ())):
        if not os.access(tmp_path, os.X_OK):
            pytest.skip("the folder of temporary files is closed to others")
        yield folder, user_name(NOBODY)
    for path, mode in modes:
        path.chmod(mode & 0o7777)


@pytest.mark.parametrize(
    "name", ["inner/in.npy", "inner/in.h5/v", "inner/in.json", "inner/in.ims/v", "x.npy"]
)
def test_an_input_in_a_closed_folder_names_the_folder_and_who_one_is(closed, name):
    folder, user = closed
    with pytest.raises(StorageError) as caught:
        open_volume(str(folder / name))
    file = name if "ims" in name else name.removesuffix("/v")
    assert str(caught.value) == f"you ({user}) may not read {folder}/{file}: folder {folder} is closed to you"


@pytest.mark.parametrize(
    "keys", [{"input": "closed/inner/in.npy"}, {"output": "closed/out.npy"}, {"output": "closed/out.json"}]
)
def test_a_job_in_a_closed_folder_names_the_folder(closed, keys):
    folder, user = closed
    keys = {"input": "in.npy", "output": "out.npy", "operation": "copy"} | keys
    job = Job.of(keys).resolved(folder.parent)
    with pytest.raises(StorageError) as caught, JobRun(job, 1).output.files.held():
        raise AssertionError("it must not be held")
    assert f"you ({user}) may not" in str(caught.value)
    assert f"folder {folder} is closed to you" in str(caught.value)


def test_an_unexpected_refusal_becomes_ours_and_ours_stays():
    with pytest.raises(StorageError, match="could not use /x/y: No space left"), system_errors():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x/y")
    with pytest.raises(StorageError, match="as it was"), system_errors():
        raise StorageError("as it was")
    with pytest.raises(ZeroDivisionError), system_errors():
        _ = 1 / 0


def test_a_current_folder_that_is_gone_is_named(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "the current folder is gone" in in_words(FileNotFoundError(errno.ENOENT, "No such file"))


def test_a_folder_in_which_nothing_can_be_made_is_told_from_one_that_is_missing():
    with pytest.raises(StorageError, match="lets nobody make files"), storage_errors("make", "/proc/x"):
        os.mkdir("/proc/x")
