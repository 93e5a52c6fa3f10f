"""``--overwrite`` of an output of block files looks at the interrupt, and the next run goes on with it."""

import numpy as np
import pytest

from blockmill import Engine, Job
from blockmill.daemon.runs.reports import Watcher
from blockmill.daemon.runs.run import JobRun
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise import outputs
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset


def test_the_removal_of_the_old_output_is_told_and_can_be_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "_TELL_AFTER_S", -1.0)
    voxels = np.arange(8 * 4 * 4, dtype=np.uint8).reshape(8, 4, 4)
    np.save(tmp_path / "in.npy", voxels)
    job = Job.of(
        {
            "input": str(tmp_path / "in.npy"),
            "output": {"address": str(tmp_path / "out.json"), "block_shape": [2, 4, 4]},
            "block_shape": [2, 4, 4],
            "operation": "copy",
        }
    )
    notes = []

    def statuses():
        return len(list(tmp_path.rglob("STATUS.txt")))

    with Engine(1) as engine:
        JobRun(job, 1).execute(engine)
        assert statuses() == 4
        watcher = Watcher(notice=lambda notice: notes.append(str(notice)), interrupted=lambda: statuses() < 4)
        with pytest.raises(KeyboardInterrupt):
            JobRun(job, 1, overwrite=True, watcher=watcher).execute(engine)
        assert statuses() == 3
        assert notes == [f"removing the old output {tmp_path / 'out.json'}"]
        assert JobRun(job, 1, overwrite=True).execute(engine).outcome == "done"
    with BlockwiseFileset(tmp_path / "out.json") as fileset:
        np.testing.assert_array_equal(fileset.read(Roi((0, 0, 0), (8, 4, 4))), voxels)
