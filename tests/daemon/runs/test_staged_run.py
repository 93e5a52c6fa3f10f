"""Jobs of several stages, from the file to their outputs, on an engine without processes."""

import contextlib
import json

import numpy as np
import pytest
from scipy import ndimage

from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.executors.inline import InlineExecutor
from blockmill.daemon.executors.scripted import Script, ScriptedServer
from blockmill.daemon.runs.outputs.cleaning import clean
from blockmill.daemon.runs.reports import Watcher
from blockmill.daemon.runs.staged_run import StagedRun
from blockmill.shared.errors import JobError, OutputRefused
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job_file import job_of
from blockmill.shared.messages import engine as wire
from blockmill.shared.volumes.registry import open_volume, split_address
from blockmill.workers.jobs import WorkerJobs

SHAPE = (20, 12, 16)
BLOCK = [4, 12, 16]
BLOCKS = 5
SMOOTH = {"input": "raw", "operation": {"gaussian": {"sigma": 1.2}}, "block_shape": BLOCK}
BINARY = {"input": "smooth", "operation": {"threshold": {"above": 120}}, "block_shape": BLOCK}
TABLE = {"input": "binary", "operation": "statistics", "block_shape": BLOCK}


@pytest.fixture
def voxels(tmp_path):
    data = np.random.default_rng(1).integers(0, 255, SHAPE, np.uint8)
    np.save(tmp_path / "in.npy", data)
    return data


def job_with(tmp_path, retries=2, **stages):
    data = {"inputs": {"raw": "in.npy"}, "stages": stages, "retries": retries}
    return job_of(data).resolved(tmp_path)


def usual(tmp_path, output="out.npy", sigma=1.2, above=120, **keys):
    if output.endswith(".json"):
        output = {"address": output, "block_shape": BLOCK}
    smooth = SMOOTH | {"operation": {"gaussian": {"sigma": sigma}}}
    binary = BINARY | {"operation": {"threshold": {"above": above}}, "output": output}
    return job_with(tmp_path, smooth=smooth, binary=binary, **keys)


def run(job, script, **options):
    executor = InlineExecutor(lambda: ScriptedServer(WorkerJobs(), script), 2)
    with Engine(executor=executor) as engine:
        return StagedRun(job, engine.workers, **options).execute(engine)


def content(path):
    with contextlib.closing(open_volume(str(path))) as volume:
        return volume.read(Roi.from_shape(volume.shape))


def hidden(tmp_path, output="out.npy"):
    return tmp_path / f".{output}.blockmill" / "stages"


@pytest.mark.parametrize("output", ["out.npy", "out.json", "out.h5/v"])
def test_a_stage_reads_what_the_one_before_has_made(tmp_path, voxels, output):
    summary = run(usual(tmp_path, output), Script())
    assert (summary.outcome, summary.blocks, summary.finished) == ("done", 2 * BLOCKS, 2 * BLOCKS)
    np.testing.assert_array_equal(content(tmp_path / output), ndimage.gaussian_filter(voxels, 1.2) > 120)
    assert not hidden(tmp_path, output.partition("/")[0]).exists()


def test_stages_may_keep_their_outputs_and_read_several(tmp_path, voxels):
    both = {"input": {"a": "raw", "b": "smooth"}, "operation": {"arithmetic": {"expression": "a > b"}}}
    job = job_with(
        tmp_path,
        smooth=SMOOTH | {"output": "smooth.json"},
        edges=both | {"block_shape": BLOCK},
        table={"input": "edges", "operation": "statistics", "output": "t.stats.json"},
    )
    assert run(job, Script()).outcome == "done"
    smooth = ndimage.gaussian_filter(voxels, 1.2)
    np.testing.assert_array_equal(content(tmp_path / "smooth.json"), smooth)
    assert json.loads((tmp_path / "t.stats.json").read_text())["sum"] == (voxels > smooth).sum()


@pytest.mark.parametrize("mask", ["binary", "raw", "other.npy"])
def test_a_stage_may_have_a_mask_that_another_one_has_made(tmp_path, voxels, mask):
    other = np.zeros(SHAPE, np.uint8)
    other[9] = 1
    np.save(tmp_path / "other.npy", other)
    binary = {"input": "raw", "operation": {"threshold": {"above": 253}}, "block_shape": BLOCK}
    smooth = SMOOTH | {"mask": mask, "output": "out.npy"}
    stages = {"binary": binary, "smooth": smooth} if mask == "binary" else {"smooth": smooth}
    assert run(job_with(tmp_path, **stages), Script()).outcome == "done"
    wanted = {"binary": voxels > 253, "raw": voxels, "other.npy": other}[mask]
    expected = ndimage.gaussian_filter(voxels, 1.2)
    for start in range(0, 20, 4):
        if not wanted[start : start + 4].any():
            expected[start : start + 4] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_stages_may_stand_in_any_order(tmp_path, voxels):
    job = job_with(tmp_path, binary=BINARY | {"output": "out.npy"}, smooth=SMOOTH)
    assert job.sequence == ("smooth", "binary")
    assert run(job, Script()).outcome == "done"
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), ndimage.gaussian_filter(voxels, 1.2) > 120)


def test_shapes_may_change_from_stage_to_stage(tmp_path, voxels):
    job = job_with(
        tmp_path,
        small={"input": "raw", "operation": {"downsample": {"factor": 2, "method": "stride"}}},
        smooth={"input": "small", "operation": {"gaussian": {"sigma": 1}}, "output": "out.npy"},
    )
    assert run(job, Script()).outcome == "done"
    expected = ndimage.gaussian_filter(voxels[::2, ::2, ::2], 1)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


@pytest.mark.parametrize("output", ["out.npy", "out.json"])
def test_a_finished_job_has_nothing_to_do(tmp_path, voxels, output):
    run(usual(tmp_path, output), Script())
    summary = run(usual(tmp_path, output), script := Script())
    assert (summary.outcome, summary.skipped, script.tasks) == ("done", 2 * BLOCKS, [])


def test_a_change_in_the_last_stage_does_not_redo_the_first(tmp_path, voxels):
    first, second = SMOOTH | {"output": "smooth.npy"}, BINARY | {"output": "out.npy"}
    run(job_with(tmp_path, smooth=first, binary=second), Script())
    changed = second | {"operation": {"threshold": {"above": 60}}, "output": "other.npy"}
    summary = run(job_with(tmp_path, smooth=first, binary=changed), Script())
    assert (summary.outcome, summary.skipped) == ("done", BLOCKS)
    np.testing.assert_array_equal(np.load(tmp_path / "other.npy"), ndimage.gaussian_filter(voxels, 1.2) > 60)


def test_what_is_made_of_another_intermediate_is_refused(tmp_path, voxels):
    run(usual(tmp_path), Script())
    with pytest.raises(OutputRefused, match="belongs to another job"):
        run(usual(tmp_path, sigma=2.0), Script())
    assert run(usual(tmp_path, sigma=2.0), Script(), overwrite=True).outcome == "done"
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), ndimage.gaussian_filter(voxels, 2.0) > 120)


def test_overwriting_replaces_what_differs_and_nothing_else(tmp_path, voxels):
    stages = {"smooth": SMOOTH | {"output": "smooth.npy"}, "binary": BINARY | {"output": "out.npy"}}
    run(job_with(tmp_path, **stages), Script())
    kept = (tmp_path / "smooth.npy").stat().st_ino
    stages["binary"] = stages["binary"] | {"operation": {"threshold": {"above": 60}}}
    summary = run(job_with(tmp_path, **stages), Script(), overwrite=True)
    assert (summary.outcome, summary.skipped) == ("done", BLOCKS)
    assert (tmp_path / "smooth.npy").stat().st_ino == kept
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), ndimage.gaussian_filter(voxels, 1.2) > 60)


def test_a_temporary_volume_of_another_job_is_replaced(tmp_path, voxels):
    assert run(usual(tmp_path, retries=0), FailsTheSecondTime()).outcome == "failed"
    summary = run(usual(tmp_path, sigma=2.0), Script(), overwrite=True)
    assert (summary.outcome, summary.skipped) == ("done", 0)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), ndimage.gaussian_filter(voxels, 2.0) > 120)


def test_what_a_job_leaves_is_cleaned_up_where_that_is_asked_for(tmp_path, voxels):
    assert run(usual(tmp_path, retries=0), FailsTheSecondTime()).outcome == "failed"
    out = split_address(str(tmp_path / "out.npy"))
    assert "with which the next run goes on" in clean(out).kept[0]
    assert hidden(tmp_path).is_dir()
    assert str(hidden(tmp_path)) in clean(out, unfinished=True).removed
    assert not hidden(tmp_path).exists()
    assert run(usual(tmp_path), Script()).outcome == "done"


def test_a_changed_input_is_noticed_through_all_stages(tmp_path, voxels):
    run(usual(tmp_path), Script())
    np.save(tmp_path / "in.npy", 255 - voxels)
    with pytest.raises(OutputRefused, match="belongs to another job"):
        run(usual(tmp_path), Script())


@pytest.mark.parametrize("stage", ["smooth", "binary"])
def test_a_failed_job_goes_on_where_it_was(tmp_path, voxels, stage):
    script = Script(fails=[(3, 1)]) if stage == "smooth" else FailsTheSecondTime()
    summary = run(usual(tmp_path, retries=0), script)
    assert summary.outcome == "failed"
    assert summary.failures[0][0].startswith(f"stages.{stage}: block")
    assert hidden(tmp_path).is_dir()
    assert not (tmp_path / "out.npy").exists()
    summary = run(usual(tmp_path, retries=0), Script())
    assert (summary.outcome, summary.finished) == ("done", 2 * BLOCKS)
    assert summary.skipped >= (BLOCKS if stage == "binary" else 1)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), ndimage.gaussian_filter(voxels, 1.2) > 120)
    assert not hidden(tmp_path).exists()


class FailsTheSecondTime(Script):
    """Fails block 3 of the second stage, which is begun when that of the first one is done."""

    def begin(self, task):
        failed = wire.TaskFailed(task.job, task.block, task.attempt, "the script says so")
        return super().begin(task) or (failed if self.tasks.count((3, 1)) > 1 and task.block == 3 else None)


def test_progress_is_that_of_all_stages(tmp_path, voxels):
    planned, progress = [], []
    watcher = Watcher(
        planned=lambda *counts: planned.append(counts), progress=lambda now: progress.append(now.blocks)
    )
    run(usual(tmp_path), Script(), watcher=watcher)
    assert planned == [(2 * BLOCKS, 0)] * 2
    assert progress == sorted(progress)
    assert progress[-1] == 2 * BLOCKS


WRONG = [
    ({"a": BINARY | {"input": "b", "output": "x.npy"}, "b": BINARY | {"input": "a", "output": "y.npy"}},
     r"stages.a: reads what is made of its own result; look at a, b"),
    ({"a": BINARY | {"input": "a", "output": "x.npy"}}, r"stages.a: reads what is made of its own result"),
    ({"smooth": SMOOTH}, r"stages.smooth: is read by no other stage, so it needs an output"),
    ({"smooth": SMOOTH | {"output": "raw.npy"}, "raw": BINARY | {"output": "x.npy"}},
     "stages.raw: has the name of an input"),
    ({"smooth": SMOOTH, "binary": BINARY | {"input": "smoth", "output": "x.npy"}},
     r"stages.binary.input: there is no input and no stage of this name; did you mean smooth"),
    ({"smooth": SMOOTH | {"operation": {"gaussian": {"sigma": -1}}}},
     r"stages.smooth.operation.gaussian.sigma: must be at least 0"),
    ({"smooth": SMOOTH | {"roi": [[0, 0], [1, 1]], "output": "x.npy"}},
     r"stages.smooth.block_shape: is for 3 axes"),
    ({"smooth": SMOOTH | {"bad": 1, "output": "x.npy"}}, "stages.smooth.bad: unknown key"),
    ({}, "stages: "),
]  # fmt: skip


@pytest.mark.parametrize(("stages", "message"), WRONG)
def test_stages_that_do_not_fit_are_refused_before_anything_runs(tmp_path, voxels, stages, message):
    with pytest.raises(JobError, match=message):
        job_with(tmp_path, **stages)


def test_an_input_that_nobody_reads_is_refused(tmp_path):
    data = {"inputs": {"raw": "in.npy", "more": "b.npy"}, "stages": {"a": SMOOTH | {"output": "x.npy"}}}
    with pytest.raises(JobError, match=r"inputs.more: is read by no stage"):
        job_of(data)


def test_mistakes_of_later_stages_are_told_before_the_first_begins(tmp_path, voxels):
    job = job_with(
        tmp_path,
        smooth=SMOOTH,
        table={"input": "smooth", "operation": "statistics", "output": "x.npy"},
    )
    with pytest.raises(JobError, match=r"stages.table.output: .*x.npy is no table"):
        run(job, script := Script())
    assert script.tasks == []


def test_two_stages_may_not_write_the_same_files(tmp_path, voxels):
    job = job_with(
        tmp_path,
        smooth=SMOOTH | {"output": "x.h5/a"},
        binary=BINARY | {"input": "raw", "output": "x.h5/b"},
    )
    with pytest.raises(JobError, match=r"stages.binary.output: .*x.h5 is written by the stage smooth, too"):
        run(job, Script())


def test_a_job_goes_to_plain_json_and_back(tmp_path):
    job = usual(tmp_path)
    assert job_of(json.loads(json.dumps(job.model_dump(mode="json")))) == job
    assert job.inputs_by_key()["inputs.raw"].address == str(tmp_path / "in.npy")
    assert [*job.outputs_by_key()] == ["stages.binary.output"]
