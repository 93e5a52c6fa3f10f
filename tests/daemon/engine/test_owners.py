"""Jobs of several users in one engine: which worker does whose, and what becomes of those of nobody."""

import numpy as np

from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.engine.handle import Ended, Result
from blockmill.daemon.engine.job import JobOwner, JobSpec
from blockmill.daemon.executors.inline import InlineExecutor
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.messages import engine as wire
from blockmill.shared.system.impersonation import Identity
from blockmill.workers.jobs import WorkerJobs

ANN, BEN = Identity(1000, 1000, (1000,)), Identity(1001, 1001, ())
SHAPE, BLOCK = (40, 6), (10, 6)


class Pretends:
    """A worker's owner that only notes who it would be."""

    def __init__(self, made):
        self.users = set()
        made.append(self)

    def take_on(self, recipe):
        self.users.add(recipe.identity)
        return recipe

    def receive_file(self):
        raise AssertionError("nothing is handed over within a process")


def spec_of(tmp_path, identity):
    voxels = np.random.default_rng(3).integers(0, 200, SHAPE, np.uint8)
    if not (tmp_path / "in.npy").exists():  # other jobs may be reading it
        np.save(tmp_path / "in.npy", voxels)
    recipe = wire.Recipe(sources=(wire.Source(str(tmp_path / "in.npy")),), identity=identity)
    owner = JobOwner(name="" if identity is None else str(identity.uid), identity=identity)
    return JobSpec(
        recipe=recipe, blocks=BlockGrid(Roi.from_shape(SHAPE), BLOCK), merge_dtype=voxels.dtype, owner=owner
    )


def run_to_end(handle):
    """Merge all results; the end, and how many there were."""
    results = 0
    while not isinstance(item := handle.next(60), Ended):
        assert item is not None, "it did not end"
        if isinstance(item, Result):
            handle.merged(item.block)
            results += 1
    return item, results


def test_no_worker_does_blocks_of_two_users(tmp_path):
    owners = []
    executor = InlineExecutor(lambda: WorkerJobs(Pretends(owners)), 2, become_owners=True)
    with Engine(executor=executor) as engine:
        handles = [engine.submit(spec_of(tmp_path, user)) for user in (ANN, BEN, None, ANN, BEN)]
        for handle in handles:
            ended, results = run_to_end(handle)
            assert (ended.outcome, results) == ("done", 4)
    assert max(len(owner.users) for owner in owners) == 1
    assert set().union(*(owner.users for owner in owners)) == {ANN, BEN, None}


def test_jobs_of_nobody_have_no_worker_replaced(tmp_path):
    owners = []
    executor = InlineExecutor(lambda: WorkerJobs(Pretends(owners)), 2, become_owners=True)
    with Engine(executor=executor) as engine:
        for _ in range(3):
            assert run_to_end(engine.submit(spec_of(tmp_path, None)))[0].outcome == "done"
    assert len(owners) == 2


def test_an_engine_whose_workers_stay_what_they_are_refuses_a_job_of_somebody(tmp_path):
    with Engine(executor=InlineExecutor(WorkerJobs, 1)) as engine:
        ended, results = run_to_end(engine.submit(spec_of(tmp_path, ANN)))
        assert (ended.outcome, results) == ("failed", 0)
        assert "do not become the owners of jobs" in ended.cause
        assert run_to_end(engine.submit(spec_of(tmp_path, None)))[0].outcome == "done"
