"""Who is told what of a job's blocks, and of what workers print."""

from dataclasses import replace

import msgspec
import pytest

from blockmill.daemon.engine.handle import Notice
from blockmill.daemon.engine.job import EngineJob, JobSpec
from blockmill.daemon.engine.notices import Notices
from blockmill.daemon.executors.api import Printed
from blockmill.daemon.scheduling.events import Notify, Reject
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.messages import engine as wire
from blockmill.shared.system.impersonation import Identity

SECOND = (10,)  # first corner of block 1


@pytest.fixture
def jobs():
    recipe = wire.Recipe(sources=(wire.Source("in.npy"),))
    spec = JobSpec(recipe=recipe, blocks=BlockGrid(Roi((0,), (40,)), (10,)))
    return {name: EngineJob(name, spec, lambda *command: None) for name in ("j1", "j2")}


@pytest.fixture
def notices(jobs):
    return Notices(jobs)


def notices_of(job):
    return list(iter(lambda: job.handle.next(0), None))


@pytest.mark.parametrize(
    ("becomes", "kind", "output"),
    [
        ("retry", "retry", "is tried again"),
        ("given_up", "failed", "is given up"),
        ("quarantined", "failed", "is set aside"),
    ],
)
def test_what_becomes_of_a_block_is_told_to_its_submitter_alone(jobs, notices, becomes, kind, output):
    notices.notify(Notify("j1", becomes, worker=7, block=1, attempt=2, reason="broken"))
    (notice,) = notices_of(jobs["j1"])
    assert (notice.kind, notice.worker, notice.block, notice.attempt) == (kind, 7, SECOND, 2)
    assert notice.text.endswith(f"{output} after attempt 2: broken")
    assert notices_of(jobs["j2"]) == []


def test_a_rejection_goes_to_the_one_who_asked(jobs, notices):
    notices.reject(Reject("j2", "Extend", "the job is sealed"))
    assert notices_of(jobs["j1"]) == []
    assert notices_of(jobs["j2"]) == [Notice("the job is sealed")]


def test_what_names_its_task_goes_to_the_job_of_that(jobs, notices):
    notices.relay([Printed(7, "hello", lease=wire.Lease("j1", 1, 3))])
    assert notices_of(jobs["j1"]) == [Notice("hello", "printed", 7, SECOND, 3)]
    assert notices_of(jobs["j2"]) == []


def test_what_is_of_no_known_task_goes_to_all(jobs, notices):
    notices.relay([Printed(7, "hello")])
    assert notices_of(jobs["j1"]) == notices_of(jobs["j2"]) == [Notice("hello", "printed", 7)]


def test_nobody_is_told_of_a_job_that_has_ended(jobs, notices):
    notices.notify(Notify("gone", "retry", worker=7, block=1, attempt=1, reason="broken"))
    notices.reject(Reject("gone", "Pause", "there is no such job"))
    notices.relay([Printed(7, "hello", lease=wire.Lease("gone", 1, 1))])
    assert notices_of(jobs["j1"]) == notices_of(jobs["j2"]) == []


def test_a_line_without_a_task_goes_to_the_jobs_of_the_user_that_printed_it(jobs, notices):
    spec = jobs["j1"].spec
    recipe = msgspec.structs.replace(spec.recipe, identity=Identity(1000, 1000, ()))
    jobs["j3"] = EngineJob("j3", replace(spec, recipe=recipe), lambda *command: None)
    notices.relay([Printed(7, "ours", uid=1000), Printed(8, "nobody's here", uid=1001)])
    assert notices_of(jobs["j3"]) == [Notice("ours", "printed", 7)]
    assert notices_of(jobs["j1"]) == notices_of(jobs["j2"]) == []
