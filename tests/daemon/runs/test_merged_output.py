"""Outputs of one file: the old one goes only where the new one has room."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from blockmill.daemon.planning.plan import make_plan
from blockmill.daemon.runs.merged_output import MergedOutput
from blockmill.shared.errors import OutputRefused
from blockmill.shared.jobs.job import load_job
from blockmill.shared.volumes.formats import open_volume, split_address


@pytest.fixture
def output_of(tmp_path):
    def output_of(address, **more):
        np.save(tmp_path / "in.npy", np.zeros((64, 64, 64), "u1"))
        fields = {"input": "in.npy", "output": {"address": address, **more}, "operation": "copy"}
        job = load_job(tmp_path / "job.yaml", yaml.safe_dump(fields))
        with_input = open_volume(job.input.address)
        try:
            plan = make_plan(job, {"input": with_input}, 1, per_file_blocks=False)
        finally:
            with_input.close()
        return MergedOutput(split_address(job.output.address), job, plan)

    return output_of


def free(monkeypatch, nbytes):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=nbytes))


def test_a_file_is_replaced_only_where_the_new_one_has_room(output_of, monkeypatch, tmp_path):
    output = output_of("out.npy")
    (tmp_path / "out.npy").write_bytes(bytes(1000))
    free(monkeypatch, 1000)
    with pytest.raises(OutputRefused, match=r"needs 256 KiB, and its disk has room for"):
        output.check_replaceable()
    free(monkeypatch, 64**3)
    output.check_replaceable()


def test_the_room_of_the_old_file_counts_unless_it_has_another_name(output_of, monkeypatch, tmp_path):
    output = output_of("out.npy")
    (tmp_path / "out.npy").write_bytes(bytes(64**3))
    free(monkeypatch, 1000)
    output.check_replaceable()
    (tmp_path / "other").hardlink_to(tmp_path / "out.npy")
    with pytest.raises(OutputRefused, match="needs"):
        output.check_replaceable()


def test_the_size_of_a_compressed_file_is_unknown(output_of, monkeypatch, tmp_path):
    output = output_of("out.h5/v", compression="gzip")
    (tmp_path / "out.h5").write_bytes(b"")
    free(monkeypatch, 0)
    output.check_replaceable()
