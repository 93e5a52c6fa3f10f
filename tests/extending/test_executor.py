"""An executor is one module and one class of tests; whole jobs run on it."""

import os
import sys

import numpy as np
import pytest
from scipy import ndimage

sys.path.insert(0, os.path.dirname(__file__))
from thread_executor import ThreadExecutor

from blockmill import Engine, Job, RoiRequestBatch
from blockmill.daemon.executors.conformance import ExecutorTests
from blockmill.daemon.runs.run import JobRun


class TestThreadExecutor(ExecutorTests):
    def make(self):
        return ThreadExecutor(2)


@pytest.mark.parametrize("output", ["out.json", "out.npy"])
def test_a_job_runs_on_it(tmp_path, output):
    voxels = np.random.default_rng(1).integers(0, 255, (40, 30, 20), np.uint8)
    np.save(tmp_path / "in.npy", voxels)
    data = {
        "input": "in.npy",
        "output": output,
        "operation": {"median": {"size": 3}},
        "block_shape": [8, 30, 20],
    }
    with Engine(executor=ThreadExecutor(3)) as engine:
        assert JobRun(Job.of(data).resolved(tmp_path), engine.workers).execute(engine).outcome == "done"
        source = tmp_path / output
        batch = RoiRequestBatch(source, [((0, 0, 0), (40, 30, 20))], engine=engine)
        results = []
        batch.result_signal.subscribe(lambda roi, array: results.append(array.copy()))
        batch.execute()
    np.testing.assert_array_equal(results[0], ndimage.median_filter(voxels, 3))
