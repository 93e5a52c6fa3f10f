"""Runs, from the job to the finished output, on an engine without processes."""

import contextlib
import csv
import json
from fractions import Fraction

import h5py
import numpy as np
import pytest
from scipy import ndimage

from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.executors.inline import InlineExecutor
from blockmill.daemon.executors.scripted import Script, ScriptedServer
from blockmill.daemon.runs.reports import Watcher
from blockmill.daemon.runs.run import JobRun
from blockmill.shared.errors import JobError, OutputRefused
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job import Job
from blockmill.shared.volumes.registry import open_volume
from blockmill.workers.jobs import WorkerJobs

SHAPE = (20, 12, 16)
BLOCKS = 5  # of 4 x 12 x 16


@pytest.fixture
def voxels(tmp_path):
    data = np.random.default_rng(1).integers(0, 255, SHAPE, np.uint8)
    np.save(tmp_path / "in.npy", data)
    return data


def job_of(tmp_path, output="out.json", **keys):
    keys = {"operation": "copy", "block_shape": [4, 12, 16], **keys}
    if output.endswith(".json") and not output.endswith(".stats.json"):
        output = {"address": output, "block_shape": [4, 12, 16]}
    return Job.of({"input": "in.npy", "output": output, **keys}).resolved(tmp_path)


def with_output(job, **options):
    return Job.of(job.model_dump(mode="json") | {"output": {"address": job.output.address, **options}})


def run(job, script, **options):
    executor = InlineExecutor(lambda: ScriptedServer(WorkerJobs(), script), 2)
    with Engine(executor=executor) as engine:
        return JobRun(job, engine.workers, **options).execute(engine)


def content(tmp_path, output):
    with contextlib.closing(open_volume(str(tmp_path / output))) as volume:
        return volume.read(Roi.from_shape(volume.shape))


@pytest.mark.parametrize("output", ["out.json", "out.npy", "out.h5/volume/data"])
def test_every_kind_of_output_holds_what_the_operation_gives(tmp_path, voxels, output):
    job = job_of(tmp_path, output, operation={"gaussian": {"sigma": 1.5}})
    assert run(job, Script()).outcome == "done"
    expected = ndimage.gaussian_filter(voxels, 1.5)
    if output.endswith(".npy"):
        np.testing.assert_array_equal(np.load(tmp_path / output), expected)
    elif ".h5" in output:
        with h5py.File(tmp_path / "out.h5") as file:
            np.testing.assert_array_equal(file["volume/data"], expected)
    else:
        np.testing.assert_array_equal(content(tmp_path, output), expected)


SUM = {"arithmetic": {"expression": "a + b", "dtype": "uint16"}}


@pytest.mark.parametrize("output", ["out.json", "out.npy"])
def test_several_inputs_are_read_together(tmp_path, voxels, output):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["v"] = other = np.random.default_rng(2).integers(0, 9, SHAPE, np.uint8)
    job = job_of(tmp_path, output, input={"a": "in.npy", "b": {"address": "other.h5/v"}}, operation=SUM)
    assert run(job, Script()).outcome == "done"
    np.testing.assert_array_equal(content(tmp_path, output), voxels.astype(np.uint16) + other)
    assert run(job, Script()).skipped == BLOCKS
    with h5py.File(tmp_path / "other.h5", "r+") as file:
        file["v"][0, 0, 0] = 77
    with pytest.raises(OutputRefused, match=r"inputs_are\.b\.state: the input's files have changed"):
        run(job, Script())


def test_several_inputs_are_one_part_of_each(tmp_path, voxels):
    np.save(tmp_path / "other.npy", voxels[::-1])
    part = [[3, 2, 1], [17, 12, 16]]
    job = job_of(tmp_path, "out.npy", input={"a": "in.npy", "b": "other.npy"}, operation=SUM, roi=part)
    assert run(job, Script()).outcome == "done"
    expected = (voxels.astype(np.uint16) + voxels[::-1])[3:17, 2:12, 1:16]
    np.testing.assert_array_equal(content(tmp_path, "out.npy"), expected)


def test_inputs_that_do_not_fit_each_other_are_refused(tmp_path, voxels):
    np.save(tmp_path / "small.npy", voxels[1:])
    with pytest.raises(JobError, match=r"input\.b: .*small.npy has shape .*19, 12, 16.*20, 12, 16"):
        run(job_of(tmp_path, input={"a": "in.npy", "b": "small.npy"}, operation=SUM), Script())
    with pytest.raises(JobError, match="copy takes one volume, and the job names a, b"):
        run(job_of(tmp_path, input={"a": "in.npy", "b": "in.npy"}), Script())
    with pytest.raises(JobError, match="output: is the input itself"):
        job_of(tmp_path, "small.npy", input={"a": "in.npy", "b": "small.npy"}, operation=SUM)


def test_a_damaged_block_of_any_input_of_ours_ends_the_job(tmp_path, voxels):
    assert run(job_of(tmp_path, "made.json"), Script()).outcome == "done"
    block = next(tmp_path.joinpath("made_blocks").rglob("*.h5"))
    block.write_bytes(block.read_bytes()[:-1] + b"\1")
    job = job_of(tmp_path, "out.npy", input={"a": "in.npy", "b": "made.json"}, operation=SUM)
    summary = run(job, Script())
    assert summary.outcome == "failed"
    assert "is not what the job that wrote it has recorded" in summary.failures[0][1]


@pytest.mark.parametrize("output", ["out.json", "out.npy"])
def test_a_list_of_operations_is_one_pass(tmp_path, voxels, output):
    steps = [{"gaussian": {"sigma": 1.2}}, {"median": {"size": 3}}, {"threshold": {"above": 120}}]
    job = job_of(tmp_path, output, operation=steps, roi=None)
    assert run(job, Script()).outcome == "done"
    expected = ndimage.median_filter(ndimage.gaussian_filter(voxels, 1.2), 3) > 120
    np.testing.assert_array_equal(content(tmp_path, output), expected)
    assert run(job, Script()).skipped == BLOCKS
    steps[2] = {"threshold": {"above": 121}}
    with pytest.raises(OutputRefused, match="operation: "):
        run(job_of(tmp_path, output, operation=steps), Script())


def statistics_of(data):
    return {"count": data.size, "min": data.min(), "max": data.max(), "mean": data.mean(), "std": data.std()}


def table_in(path):
    if path.suffix == ".json":
        return json.loads(path.read_text())
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
    return {key: float(value) for key, value in row.items()}


@pytest.mark.parametrize("output", ["t.stats.json", "t.csv", "t.tsv"])
def test_a_table_is_made_of_the_records_of_all_blocks(tmp_path, voxels, output):
    script = Script(fails=[(0, 1)], dies=[(1, 1)])
    summary = run(job_of(tmp_path, output, operation="statistics", retries=2), script)
    expected = pytest.approx(statistics_of(voxels), rel=1e-12)
    table = table_in(tmp_path / output)
    assert {key: table[key] for key in statistics_of(voxels)} == expected
    assert {key: summary.table[key] for key in statistics_of(voxels)} == expected
    again = run(job_of(tmp_path, output, operation="statistics"), Script())
    assert (again.outcome, again.skipped, again.table) == ("done", BLOCKS, summary.table)


@pytest.mark.parametrize("torn", [0, 3])
def test_a_table_goes_on_with_the_records_that_are_there(tmp_path, voxels, torn):
    job = job_of(tmp_path, "t.stats.json", operation="statistics", retries=0)
    assert run(job, Script(fails=[(3, 1)])).outcome == "failed"
    assert not (tmp_path / "t.stats.json").exists()
    log = tmp_path / ".t.stats.json.blockmill" / "ledger"
    done = len(log.read_bytes())
    with log.open("r+b") as file:
        file.truncate(done - torn)
    summary = run(job, script := Script())
    assert summary.outcome == "done"
    assert (3, 1) in script.tasks
    table = table_in(tmp_path / "t.stats.json")
    assert (table["count"], table["sum"]) == (voxels.size, voxels.sum())


def test_a_table_that_was_changed_is_refused(tmp_path, voxels):
    job = job_of(tmp_path, "t.csv", operation="statistics")
    run(job, Script())
    path = tmp_path / "t.csv"
    path.write_text(path.read_text() + "mine\n")
    with pytest.raises(OutputRefused, match="no longer what this job wrote"):
        run(job, Script())
    assert path.read_text().endswith("mine\n")
    assert run(job, Script(), overwrite=True).outcome == "done"
    assert not path.read_text().endswith("mine\n")


def test_a_foreign_file_with_the_name_of_a_table_stays(tmp_path, voxels):
    (tmp_path / "t.csv").write_text("mine")
    with pytest.raises(OutputRefused, match="no record beside it"):
        run(job_of(tmp_path, "t.csv", operation="statistics"), Script())
    assert (tmp_path / "t.csv").read_text() == "mine"


def test_a_table_and_a_volume_are_not_taken_for_each_other(tmp_path, voxels):
    with pytest.raises(JobError, match=r"out.npy is no table, and statistics makes one: x.stats.json, x.csv"):
        run(job_of(tmp_path, "out.npy", operation="statistics"), Script())
    with pytest.raises(JobError, match=r"t.csv is a table, and copy makes a volume"):
        run(job_of(tmp_path, "t.csv"), Script())
    run(job_of(tmp_path, "t.csv", operation="statistics"), Script())
    with pytest.raises(JobError, match=r"t.csv is a table, and no volume"):
        run(job_of(tmp_path, "out.npy", input="t.csv"), Script())


@pytest.fixture
def mask(tmp_path):
    """Nothing in blocks 1 and 3, one voxel in block 2."""
    mask = np.ones(SHAPE, bool)
    mask[4:16] = False
    mask[9, 5, 5] = True
    np.save(tmp_path / "mask.npy", mask)
    return mask


@pytest.mark.parametrize("output", ["out.json", "out.npy", "t.csv"])
def test_blocks_in_which_the_mask_is_0_are_not_computed(tmp_path, voxels, mask, output):
    operation = "statistics" if output == "t.csv" else {"gaussian": {"sigma": 1.5}}
    job = job_of(tmp_path, output, operation=operation, mask="mask.npy")
    summary = run(job, Script())
    assert (summary.outcome, summary.finished, summary.masked) == ("done", BLOCKS, 2)
    assert summary.note == "2 blocks left out by the mask"
    wanted = np.ones(SHAPE, bool)
    wanted[4:8] = wanted[12:16] = False
    if output == "t.csv":
        assert (summary.table["count"], summary.table["sum"]) == (wanted.sum(), voxels[wanted].sum())
    else:
        expected = np.where(wanted, ndimage.gaussian_filter(voxels, 1.5), 0)
        np.testing.assert_array_equal(content(tmp_path, output), expected)
    again = run(job, Script())
    assert (again.skipped, again.table) == (BLOCKS, summary.table)
    np.save(tmp_path / "mask.npy", ~mask)
    with pytest.raises(OutputRefused, match=r"mask_is\.state: the input's files have changed"):
        run(job, Script())


def test_what_the_mask_leaves_out_is_not_read(tmp_path, voxels, mask):
    run(job_of(tmp_path, "made.json"), Script())
    for block in tmp_path.joinpath("made_blocks/z_00000004").rglob("*.h5"):
        block.write_bytes(b"damaged")
    job = job_of(tmp_path, "out.npy", input="made.json", mask={"address": "mask.npy"})
    assert run(job, Script()).outcome == "done"


def test_a_mask_of_another_shape_is_refused(tmp_path, voxels):
    np.save(tmp_path / "mask.npy", voxels[1:])
    with pytest.raises(
        JobError, match=r"mask: .*mask.npy has shape .*19, 12, 16.*the input has .*20, 12, 16"
    ):
        run(job_of(tmp_path, mask="mask.npy"), Script())
    with pytest.raises(JobError, match=r"mask.addres: unknown key; did you mean address"):
        job_of(tmp_path, mask={"addres": "mask.npy"})


@pytest.mark.parametrize("output", ["out.json", "out.npy"])
def test_attempts_that_fail_or_die_are_made_again(tmp_path, voxels, output):
    script = Script(fails=[(0, 1), (3, 1), (3, 2)], dies=[(1, 1), (4, 1)])
    summary = run(job_of(tmp_path, output, retries=2), script)
    assert summary.outcome == "done"
    assert {(0, 2), (3, 3), (1, 2), (4, 2)} <= set(script.tasks)
    np.testing.assert_array_equal(content(tmp_path, output), voxels)


def test_a_block_that_fails_for_good_ends_the_job_or_not(tmp_path, voxels):
    always = [(2, attempt) for attempt in (1, 2, 3)]
    first = run(job_of(tmp_path, retries=1), Script(fails=always))
    assert first.outcome == "failed"
    ((block, reason),) = first.failures
    assert "the script says so" in reason and "8" in block
    second = run(job_of(tmp_path, retries=1, on_error="finish"), Script(fails=always))
    assert (second.outcome, second.finished) == ("done_with_failures", BLOCKS - 1)


@pytest.mark.parametrize("output", ["out.json", "out.npy"])
def test_what_is_finished_is_not_done_again(tmp_path, voxels, output):
    job = job_of(tmp_path, output, on_error="finish", retries=0)
    assert run(job, Script(fails=[(2, 1)])).outcome == "done_with_failures"
    again = Script()
    summary = run(job, again)
    assert summary.outcome == "done"
    if output.endswith(".npy"):  # of block files the workers find out themselves
        assert again.tasks[-1] == (2, 1)
        assert sorted(again.tasks[:-1]) == [(0, 1), (1, 1), (3, 1), (4, 1)], "compared with the ledger"
        assert summary.skipped == BLOCKS - 1
    else:
        assert summary.skipped == BLOCKS - 1
    np.testing.assert_array_equal(content(tmp_path, output), voxels)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, voxels):
    job, interrupted = job_of(tmp_path, "out.npy"), []
    script = Script(before=lambda task: task.block == 2 and interrupted.append(True))
    with pytest.raises(KeyboardInterrupt):
        run(job, script, watcher=Watcher(interrupted=lambda: bool(interrupted)))
    assert not (tmp_path / "out.npy").exists()
    assert run(job, Script()).outcome == "done"
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), voxels)


def test_the_output_of_another_job_is_refused_before_any_block(tmp_path, voxels):
    run(job_of(tmp_path), Script())
    script = Script()
    with pytest.raises(OutputRefused):
        run(job_of(tmp_path, operation={"threshold": {"above": 9}}), script)
    assert script.tasks == []
    np.testing.assert_array_equal(content(tmp_path, "out.json"), voxels)


def test_the_record_says_finished_only_at_the_end(tmp_path, voxels):
    record, seen = tmp_path / ".out.json.blockmill" / "record", []

    def look(task):
        seen.append(json.loads(record.read_text())["finished"])

    run(job_of(tmp_path), Script(before=look))
    assert seen == [False] * BLOCKS
    assert json.loads(record.read_text())["finished"] is True


@pytest.mark.parametrize("output", ["out.json", "out.npy", "out.h5/v"])
def test_an_output_may_have_another_shape(tmp_path, voxels, output):
    operation, roi = {"downsample": {"factor": [2, 3, 4]}}, [[3, 0, 1], [20, 11, 16]]
    job = job_of(tmp_path, output, operation=operation, roi=roi, block_shape=[3, 2, 2])
    if output == "out.json":
        job = with_output(job, block_shape=[3, 2, 2])
    assert run(job, Script(dies=[(0, 1)])).outcome == "done"
    part = voxels[3:20, 0:11, 1:16].astype(object)
    expected = [
        [
            [round(Fraction(int(box.sum()), box.size)) for box in np.array_split(row, range(4, 15, 4), 2)]
            for row in np.array_split(plane, range(3, 11, 3), 1)
        ]
        for plane in np.array_split(part, range(2, 17, 2), 0)
    ]
    np.testing.assert_array_equal(content(tmp_path, output), expected)


def test_voxel_size_and_origin_follow_a_change_of_the_shape(tmp_path, voxels):
    said = {"address": "in.npy", "axes": "zyx", "voxel_size": [1.0, 0.5, 0.25], "unit": "um"}
    operation, roi = {"downsample": {"factor": {"yx": 2}}}, [[4, 2, 2], [8, 6, 6]]
    run(with_output(job_of(tmp_path, input=said, operation=operation, roi=roi)), Script())
    description = json.loads((tmp_path / "out.json").read_text())
    assert description["shape"] == [4, 2, 2]
    assert description["voxel_size"] == [1.0, 1.0, 0.5]
    assert description["position"] == [4.0, 2 * 0.5 + 0.25, 2 * 0.25 + 0.125]
