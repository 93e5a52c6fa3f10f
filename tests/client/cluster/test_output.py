from pathlib import Path

import numpy as np
import pytest

from blockmill.client.cluster import output
from blockmill.client.cluster.output import ClusterJob, hash_of, is_done, prepare_output
from blockmill.shared.errors import JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job import Job
from blockmill.shared.volumes.blockwise.description import FilesetDescription, read_description
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

VOXELS = np.arange(600, dtype=np.uint8).reshape(20, 30)


@pytest.fixture
def work(tmp_path):
    np.save(tmp_path / "in.npy", VOXELS)
    job = {"input": "in.npy", "output": {"address": "out.json", "block_shape": [20, 16]}, "operation": "copy"}
    return ClusterJob.of(Job.of(job).resolved(tmp_path))


def write_all(fileset):
    fileset.write(Roi.from_shape(fileset.shape), np.zeros(fileset.shape, fileset.dtype))


def done(work):
    with work.open_output() as fileset:
        return [is_done(fileset, block.start, work.name) for block in fileset.block_rois()]


def test_the_hash_is_sha1_of_block_shape_axes_and_format():
    description = FilesetDescription(
        axes="yx", shape=(9, 9), dtype="u1", block_shape=(3, 4), block_file_name_format="{roiString}.h5/a"
    )
    assert hash_of(description) == "d9d214128d1c645d58142d2a400e8f68907b6127"


def test_a_second_preparation_changes_nothing(work):
    write_all(prepare_output(work))
    before = Path(work.output).read_bytes()
    prepare_output(work)
    assert Path(work.output).read_bytes() == before
    assert done(work) == [True, True]


def test_a_preparation_that_was_cut_off_is_done_again(work, monkeypatch):
    write_all(prepare_output(work))
    description = read_description(work.output)
    output.write_description(work.output, output.replace(description, hash_id="old"))
    calls = []

    def cut_off(path):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(output, "_invalidate", cut_off)
        prepare_output(work)
    assert done(work) == [True, True]
    prepare_output(work)
    assert done(work) == [False, False]
    assert read_description(work.output) == description


def test_a_block_that_another_program_wrote_counts_and_that_of_another_job_does_not(work):
    prepare_output(work)
    for name, counts in (("", True), ("another", False), (work.name, True)):
        with BlockwiseFileset(work.output, "a", job=name) as fileset:
            write_all(fileset)
        assert done(work) == [counts, counts]


def test_another_dtype_makes_blocks_invalid(work):
    with prepare_output(work) as fileset:
        write_all(fileset)
    np.save(work.job.input.address, VOXELS.astype(np.uint16))
    wider = ClusterJob.of(work.job)
    prepare_output(wider)
    assert done(wider) == [False, False]
    assert read_description(work.output).dtype == np.uint16


def test_a_view_that_does_not_fit_the_input_is_refused_and_nothing_changed(work, tmp_path):
    prepare_output(work)
    before = Path(work.output).read_bytes()
    np.save(work.job.input.address, np.zeros((21, 30), np.uint8))
    with pytest.raises(JobError, match="does not fit the input"):
        prepare_output(ClusterJob.of(work.job))
    assert Path(work.output).read_bytes() == before


def test_only_a_fileset_is_an_output(work, tmp_path):
    job = {"input": "in.npy", "output": "out.npy", "operation": "copy"}
    with pytest.raises(JobError, match="is no fileset"):
        ClusterJob.of(Job.of(job).resolved(tmp_path))
