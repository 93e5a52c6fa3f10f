"""Who may do what to a job, and which files a job may name."""

import itertools
import json
import os
import pwd
from importlib.metadata import EntryPoint

import pytest

from blockmill.daemon.journal.records import JobRecord
from blockmill.daemon.service.access import Rights
from blockmill.shared.config.model import Access
from blockmill.shared.errors import Refused
from blockmill.shared.jobs.job import Job
from blockmill.shared.messages.records import JobInfo


def has_no_account(uid):
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return True
    return False


OWN, ANN, BOB = itertools.islice(filter(has_no_account, itertools.count(60_000)), 3)  # told by number


def job_record(owner):
    return JobRecord(
        info=JobInfo(id=7, name="n", owner=owner, output="o", submitted_s=0.0), spec={}, token="t"
    )


def job(**fields):
    return Job.of({"input": "/data/in.npy", "output": "/data/out.npy", "operation": "copy"} | fields)


def test_owner_admin_root_and_the_service_itself_may_and_nobody_else():
    rights = Rights(Access(admins=("daemon",)), system=False, uid=OWN)
    for uid in (ANN, OWN, 0, pwd.getpwnam("daemon").pw_uid):
        rights.check_owner(uid, job_record(ANN), "cancel")
    with pytest.raises(Refused, match=rf"belongs to user {ANN}, who alone may cancel it.*user {BOB}"):
        rights.check_owner(BOB, job_record(ANN), "cancel")
    with pytest.raises(Refused, match="only an admin of the service may drain it"):
        rights.check_admin(ANN, "drain it")
    rights.check_admin(OWN, "drain it")


def test_an_admin_without_an_account_stops_the_service():
    with pytest.raises(Refused, match="there is no account nosuch"):
        Rights(Access(admins=("nosuch",)), system=False)


@pytest.fixture
def roots(tmp_path):
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()
    return data, other


def refused(rights, **fields):
    with pytest.raises(Refused) as caught:
        rights.check_paths(job(**fields), os.getuid())
    return str(caught.value)


def test_paths_must_lie_below_the_roots_wherever_links_lead(roots):
    data, other = roots
    rights = Rights(Access(data_roots=(str(data),)), system=True)
    inside = {"input": str(data / "in.npy"), "output": str(data / "sub" / "out.npy")}
    rights.check_paths(job(**inside), os.getuid())
    (data / "link").symlink_to(other)
    (data / "file.npy").symlink_to(other / "secret.npy")
    for bad in (
        {"input": str(other / "in.npy")},
        {"input": f"{data}/../other/in.npy"},
        {"input": f"{data}x/in.npy"},
        {"input": str(data / "file.npy")},
        {"output": str(data / "link" / "out.npy")},
    ):
        text = refused(rights, **(inside | bad))
        assert text.startswith(f"{next(iter(bad))}: ")
        assert "access.data_roots" in text


def test_the_blocks_of_a_fileset_must_lie_there_too(roots):
    data, other = roots
    description = {
        "_schema_name": "blockwise-fileset-description",
        "_schema_version": 1.1,
        "name": "x",
        "format": "hdf5",
        "axes": "zyx",
        "shape": [8, 8, 8],
        "dtype": "uint8",
        "block_shape": [4, 4, 4],
        "block_file_name_format": "b-{roiString}.h5/volume/data",
        "dataset_root_dir": "../other/blocks",
    }
    (data / "x.json").write_text(json.dumps(description))
    rights = Rights(Access(data_roots=(str(data),)), system=True)
    text = refused(rights, input=str(data / "x.json"), output=str(data / "out.npy"))
    assert str(other / "blocks") in text
    (data / "x.json").write_text(json.dumps(description | {"dataset_root_dir": "blocks"}))
    rights.check_paths(job(input=str(data / "x.json"), output=str(data / "out.npy")), os.getuid())


def test_a_service_of_the_machine_touches_nothing_until_it_is_told_what():
    machines, own = Rights(Access(), system=True), Rights(Access(), system=False)
    assert "nothing is, yet" in refused(machines)
    own.check_paths(job(), os.getuid())


def test_user_code_has_roots_of_its_own(roots):
    data, other = roots
    function = {"operation": {"python": {"function": "m:f"}}, "user_code": str(data)}
    (other / "m.py").touch()
    inside = {"input": str(data / "a.npy"), "output": str(data / "b.npy")}
    text = refused(Rights(Access(data_roots=(str(data),)), system=True), **inside, **function)
    assert text.startswith("user_code: ") and "access.user_code" in text
    allowed = Access(data_roots=(str(data),), user_code=(str(other),))
    assert "user_code: " in refused(Rights(allowed, system=True), **inside, **function)
    Rights(allowed, system=True).check_paths(
        job(**inside, **(function | {"user_code": str(other)})), os.getuid()
    )
    Rights(Access(), system=False).check_paths(job(**inside, **function), os.getuid())
    assert "user_code: " in refused(Rights(allowed, system=False), **inside, **function)


def test_without_the_capabilities_no_other_users_job_is_taken(monkeypatch):
    monkeypatch.setattr("blockmill.daemon.service.access.may_act", lambda: False)
    rights = Rights(Access(), system=False)
    assert rights.identity(os.getuid()) is None
    with pytest.raises(Refused, match=r"CAP_SETUID.*blockmill serve"):
        rights.check_paths(job(), os.getuid() + 1)


@pytest.mark.parametrize("function", ["os:system", "subprocess:run", "steps:os.system", "builtins:eval"])
def test_a_restricted_service_calls_only_what_was_put_there_for_it(roots, function):
    data, code = roots
    (code / "steps.py").write_text("import os")
    access = Access(data_roots=(str(data),), user_code=(str(code),))
    inside = {"input": str(data / "a.npy"), "output": str(data / "b.npy")}
    call = inside | {"operation": {"python": {"function": function}}}
    with_code = call | {"user_code": str(code)}
    assert "this service calls nothing else" in refused(Rights(access, system=True), **with_code)
    if function != "steps:os.system":
        assert "an installed entry point" in refused(Rights(access, system=True), **call)
    Rights(Access(), system=False).check_paths(job(**with_code), os.getuid())


def test_an_installed_entry_point_may_be_called(roots, monkeypatch):
    data, _ = roots
    point = EntryPoint("destripe", "lab.steps:destripe", "blockmill.operations")
    monkeypatch.setattr("blockmill.daemon.service.access.metadata.entry_points", lambda group: (point,))
    rights = Rights(Access(data_roots=(str(data),)), system=True)
    inside = {"input": str(data / "a.npy"), "output": str(data / "b.npy")}
    rights.check_paths(job(**inside, operation={"python": {"function": point.value}}), os.getuid())
    assert "lab.steps:other" in refused(
        rights, **inside, operation={"python": {"function": "lab.steps:other"}}
    )


def test_a_format_whose_library_has_threads_is_refused_where_jobs_are_confined(roots):
    data, _ = roots
    inside = {"input": str(data / "a.npy"), "output": str(data / "b.zarr")}
    text = refused(Rights(Access(data_roots=(str(data),)), system=True), **inside)
    assert text.startswith("output: ") and "can't use zarr volumes" in text
    Rights(Access(), system=False).check_paths(job(**inside), os.getuid())
