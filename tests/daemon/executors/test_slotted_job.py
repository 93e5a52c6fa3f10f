"""When the memory of a job's results serves the next one, too."""

import itertools

import numpy as np
import pytest

from blockmill.daemon.executors.api import ExecutorJob
from blockmill.daemon.executors.slotted_job import SlottedJob
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.memory.arena import Arenas
from blockmill.shared.messages import engine as wire
from blockmill.shared.system.impersonation import Identity


@pytest.fixture
def arenas():
    made = Arenas(itertools.count())
    yield made
    made.close()


def job_of(arenas, identity=None):
    recipe = wire.Recipe(sources=(wire.Source("in.npy"),), identity=identity)
    blocks = BlockGrid(Roi((0,), (40,)), (10,))
    job = ExecutorJob(name="j1", recipe=recipe, blocks=blocks, result_dtype=np.dtype(np.uint8))
    return SlottedJob(job, arenas)


def segment_of(job, block):
    return job.task(wire.Lease("j1", block, 1)).slot.segment


def test_the_next_job_has_the_memory_of_one_whose_blocks_all_came_back(arenas):
    job = job_of(arenas)
    segments = {segment_of(job, block) for block in range(3)}
    assert job.close(in_use=False) == []
    assert segment_of(job_of(arenas), 0) in segments


def test_what_a_worker_may_still_write_to_is_not_kept(arenas):
    job = job_of(arenas)
    segments = {segment_of(job, block) for block in range(3)}
    assert set(job.close(in_use=True)) == segments
    assert segment_of(job_of(arenas), 0) not in segments


def test_what_was_done_for_somebody_is_not_kept(arenas):
    job = job_of(arenas, Identity(1000, 1000, ()))
    segment = segment_of(job, 0)
    assert job.close(in_use=False) == [segment]


def test_a_job_without_results_has_no_memory(arenas):
    assert job_of(arenas).close(in_use=False) == []
