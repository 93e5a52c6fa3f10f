"""A worker's side of jobs that belong to somebody: whom it becomes, and whose jobs it does then."""

import json
import os
import pwd
import socket
import tempfile
import threading
import traceback
from pathlib import Path

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.memory.arena import Segment
from blockmill.shared.messages import engine as wire
from blockmill.shared.system.descriptors import send_file
from blockmill.shared.system.impersonation import Identity, identity_of, may_act
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.workers import owner as owner_module
from blockmill.workers.jobs import WorkerJobs
from blockmill.workers.owner import ProcessOwner, StaysItself

ANN, BEN = Identity(1000, 1000, (1000,)), Identity(1001, 1001, ())


def recipe(source="in.npy", **fields):
    return wire.Recipe(sources=(wire.Source(volume=str(source)),), **fields)


@pytest.fixture
def made():
    """An owner whose connections are there, and the coordinator's end of its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lifeline = os.pipe()
    connected = threading.Event()
    connected.set()
    with ours, theirs:
        yield ProcessOwner(theirs, lifeline[0], connected), ours
    os.close(lifeline[1])


@pytest.fixture
def became(monkeypatch):
    """Whom it would have become, and that a lifeline was opened anew."""
    seen = []
    monkeypatch.setattr(owner_module, "become", seen.append)
    monkeypatch.setattr(owner_module, "tie_to", os.close)
    return seen


def test_it_becomes_the_owner_of_its_first_job_once(made, became):
    owner, _ = made
    for _ in range(2):
        assert owner.take_on(recipe(identity=ANN)).identity is None  # nothing is left to do about it
    assert became == [ANN]


def test_jobs_of_nobody_leave_it_as_it_is(made, became):
    owner, _ = made
    assert owner.take_on(recipe()) == recipe()
    assert became == []


@pytest.mark.parametrize("first", [ANN, None])
@pytest.mark.parametrize("second", [BEN, Identity(1000, 1000, ()), None])
def test_it_takes_no_job_of_somebody_else(made, became, first, second):
    """Other groups make another user, too: they may have been taken away since."""
    owner, _ = made
    owner.take_on(recipe(identity=first))
    if first == second:
        return
    with pytest.raises(JobError, match=r"report it: a worker of .* was given a job of"):
        owner.take_on(recipe(identity=second))


def test_after_a_change_that_failed_it_does_nothing_for_anybody(made, became, monkeypatch):
    def fails(identity):
        raise StorageError("a worker can't become ann (no)")

    monkeypatch.setattr(owner_module, "become", fails)
    owner, _ = made
    jobs = WorkerJobs(owner)
    for name, identity in (("j1", ANN), ("j2", ANN), ("j3", None)):
        jobs.handle(wire.Prepare(name, recipe(identity=identity)))
        reply = jobs.do(wire.Task(name, 0, 1))
        assert isinstance(reply, wire.TaskFailed)
        assert (reply.error, reply.retry, reply.kind) == ("a worker can't become ann (no)", False, "JobError")


def test_a_process_that_stays_itself_refuses_jobs_of_somebody():
    with pytest.raises(JobError, match="can't become a job's owner"):
        StaysItself().take_on(recipe(identity=ANN))


def test_memory_comes_by_descriptor(made):
    owner, coordinator = made
    memory = Segment(4096)
    memory.map[:4] = b"voxl"
    fd = os.open(memory.path, os.O_RDWR)
    send_file(coordinator, b"m", fd)
    os.close(fd)
    taken = Segment(4096, owner.receive_file())
    assert taken.map[:4] == b"voxl"
    memory.close()
    coordinator.send(b"m")
    with pytest.raises(OSError, match="handed over no shared memory"):
        owner.receive_file()


# -- with real accounts -----------------------------------------------------------------

THEIRS = pwd.getpwnam("daemon").pw_uid
OTHER = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def volumes():
    """Volumes of each format in a folder that everybody may enter, their files for one account alone."""
    voxels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "a.npy", voxels)
        with h5py.File(folder / "b.h5", "w") as file:
            file["v"] = voxels
        description = FilesetDescription(
            axes="zyx",
            shape=(2, 3, 4),
            dtype="u1",
            block_shape=(2, 3, 4),
            block_file_name_format="b-{roiString}.h5/v",
            dataset_root_dir="blocks",
        )
        with BlockwiseFileset.create(folder / "c.json", description) as fileset:
            fileset.write(Roi.from_shape((2, 3, 4)), voxels)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, THEIRS, -1)
            os.chmod(path, 0o755 if path.is_dir() or path.suffix == ".json" else 0o600)
        yield folder


def ends_as(uid, address):
    """How a block of a volume ends in a process that becomes a user: "", or the error."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)  # as a worker: the lifeline ends all of its user's processes in its group
            connected, (_, files), (lifeline, _) = threading.Event(), socket.socketpair(), os.pipe()
            connected.set()
            jobs = WorkerJobs(ProcessOwner(files, lifeline, connected))
            jobs.handle(wire.Prepare("j", recipe(address, identity=identity_of(uid))))
            reply = jobs.do(wire.Task("j", 0, 1, (0, 0, 0), (2, 3, 4)))
            os.write(write, json.dumps([os.getresuid(), getattr(reply, "error", "")]).encode())
        except BaseException:  # noqa: BLE001 - told by the parent
            os.write(write, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    assert (status, told[:1]) == (0, "["), told
    ids, error = json.loads(told)
    assert ids == [uid] * 3
    return error


@pytest.mark.skipif(not may_act(), reason="needs CAP_SETUID and CAP_SETGID, as root has them")
@pytest.mark.parametrize("name", ["a.npy", "b.h5/v", "c.json"])
def test_what_only_another_account_may_read_is_refused_in_the_worker(volumes, name):
    assert "names no place for its result" in ends_as(THEIRS, volumes / name)  # it was read, and computed
    refused = ends_as(OTHER, volumes / name)
    assert "ermission" in refused or "may not" in refused, refused
