"""Two people at a service of root, which acts for each of them: neither gets at what is the other's."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from people import ANN, BEN

from blockmill.shared.system.impersonation import may_act

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not may_act(), reason="needs root, to be several people"),
]


def test_a_job_and_its_files_are_its_owners(people):
    ((_, state, reason),) = people.ask(ANN, people.job(ANN))
    assert state == "done", reason
    output = people.data / ANN / "o.npy"
    assert output.owner() == ANN
    np.testing.assert_array_equal(np.load(output), people.voxels)
    code = {"user_code": people.code, "operation": {"python": {"function": "steps:who"}}}
    ((_, state, reason),) = people.ask(BEN, people.job(BEN, **code))
    assert state == "done", reason


def test_files_of_the_other_of_root_and_outside_of_the_roots_are_not_reached(people):
    ann, ben = people.data / ANN, people.data / BEN
    (ben / "link").symlink_to(people.outside)
    description = {
        "_schema_name": "blockwise-fileset-description", "_schema_version": 1.0, "name": "e",
        "format": "hdf5", "axes": "zyx", "shape": [16, 16, 16], "dtype": "uint8", "block_shape": [16, 16, 16],
        "block_file_name_format": "b{roiString}.h5/v", "dataset_root_dir": str(people.secret),
    }  # fmt: skip
    (ben / "elsewhere.json").write_text(json.dumps(description))
    with h5py.File(ben / "links.h5", "w") as file:
        file["secret"] = h5py.ExternalLink(str(people.secret / "x.h5"), "/v")
        file["outside"] = h5py.ExternalLink(str(people.outside / "x.h5"), "/v")
    for name in ("elsewhere.json", "links.h5"):
        people.give(ben / name, BEN)
    tried = [
        people.job(BEN, input=ann / "in.npy"),
        people.job(BEN, output=ann / "x.npy"),
        people.job(BEN, input=people.outside / "in.npy"),
        people.job(BEN, input=ben / "link" / "in.npy"),
        people.job(BEN, input=f"{people.data}/../outside/in.npy"),
        people.job(BEN, input=people.secret / "in.npy"),
        people.job(BEN, output="/etc/passwd.npy"),
        people.job(BEN, input=ben / "elsewhere.json"),
        people.job(BEN, input=f"{ben}/links.h5/secret"),
        people.job(BEN, input=f"{ben}/links.h5/outside"),
    ]
    for (kind, state, reason), (_, (job,), _) in zip(people.ask(BEN, *tried), tried, strict=True):
        assert kind == "Refused" or state == "failed", (job, kind, state, reason)
        assert "defect" not in reason, (job, reason)
    assert sorted(path.name for path in ann.iterdir()) == ["in.npy"]
    assert not Path("/etc/passwd.npy").exists()


def test_only_functions_that_were_put_there_are_called(people):
    names = (
        "os:system", "json:dumps", "../outside/x:f", "/tmp/x:f", "steps:os", "steps:np.save",
        "steps:f.__globals__", "json.tool:main", "steps:__builtins__",
    )  # fmt: skip
    tried = [
        people.job(BEN, user_code=people.code, operation={"python": {"function": name}}) for name in names
    ]
    own = people.data / BEN
    shutil.copy(people.code / "steps.py", own)
    for folder in (own, f"{people.code}/../data/{BEN}"):
        tried.append(people.job(BEN, user_code=folder, operation={"python": {"function": "steps:f"}}))
    for (kind, state, reason), (_, (job,), _) in zip(people.ask(BEN, *tried), tried, strict=True):
        assert kind in ("Refused", "JobError") or state == "failed", (job, state, reason)
        assert "defect" not in reason


def test_the_state_folder_is_closed_to_others(people):
    state = people.bench.folder / "state" / "blockmill"
    assert state.is_dir()
    assert state.stat().st_mode & 0o077 == 0
