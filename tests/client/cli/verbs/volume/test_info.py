import json

import numpy as np
from click.testing import CliRunner

from blockmill.client.cli.main import cli
from blockmill.client.library.sample_volume import create_sample

REMOTE = {
    "_schema_name": "RESTful-volume-description",
    "_schema_version": 1.0,
    "format": "hdf5",
    "axes": "zyx",
    "dtype": "numpy.uint8",
    "bounds": [8, 16, 32],
    "url_format": "http://localhost/{x_start},{x_stop}/{y_start},{y_stop}/{z_start},{z_stop}/",
    "hdf5_dataset": "cutout",
}


def info(*words):
    done = CliRunner().invoke(cli, ["volume", "info", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_fileset_has_a_line_for_each_property(tmp_path):
    path = tmp_path / "cells.json"
    create_sample(path, (8, 16, 70), 1)
    assert info(path).splitlines() == [
        f"address      {path}",
        "shape        [8, 16, 70]",
        "dtype        uint8",
        "axes         zyx",
        "block_shape  [64, 64, 64]",
    ]


def test_a_property_that_a_volume_lacks_has_no_line_and_is_null_in_json(tmp_path):
    path = tmp_path / "remote.json"
    path.write_text(json.dumps(REMOTE))
    lines = info(path).splitlines()
    assert [line.split()[0] for line in lines] == ["address", "shape", "dtype", "axes"]
    document = json.loads(info(path, "--json"))
    assert document["block_shape"] is None
    assert document["shape"] == [8, 16, 32]


def test_a_plain_array_has_no_blocks(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3, 4), np.uint8))
    assert "None" not in info(path)
