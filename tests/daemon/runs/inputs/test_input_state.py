import numpy as np
import pytest

from blockmill.daemon.runs.inputs.input_state import input_state
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.claims import reads_of
from blockmill.shared.volumes.registry import split_input
from blockmill.shared.volumes.restful.description import (
    RESTfulFilesetDescription,
    RESTfulVolumeDescription,
    write_restful_description,
)

LOCAL = FilesetDescription(
    axes="x", shape=(8,), dtype="u1", block_shape=(4,), block_file_name_format="{roiString}.h5/d"
)
REMOTE = RESTfulVolumeDescription(
    axes="x", dtype="u1", bounds=(8,), url_format="http://h/{x_start}-{x_stop}", hdf5_dataset="d"
)
COMPOSITE = RESTfulFilesetDescription(remote_description=REMOTE, local_description=LOCAL)


def state_of(address):
    target = split_input(address)
    return input_state(target, reads_of(target))


def test_a_block_that_is_written_anew_changes_the_state_of_a_fileset(tmp_path):
    fileset = BlockwiseFileset.create(tmp_path / "v.json", LOCAL)
    fileset.write(Roi((0,), (8,)), np.zeros(8, "u1"))
    before = state_of(fileset.address)
    assert state_of(fileset.address) == before
    fileset.write(Roi((0,), (4,)), np.ones(4, "u1"))
    assert state_of(fileset.address) != before


@pytest.mark.parametrize("description", [REMOTE, COMPOSITE], ids=["volume", "fileset"])
def test_of_a_volume_of_a_server_the_description_counts_and_no_block_that_is_kept(tmp_path, description):
    path = tmp_path / "v.json"
    write_restful_description(path, description)
    before = state_of(str(path))
    cached = BlockwiseFileset.create(tmp_path / "kept.json", LOCAL)  # in the same folder
    cached.write(Roi((0,), (8,)), np.zeros(8, "u1"))
    assert state_of(str(path)) == before
    write_restful_description(path, description)
    assert state_of(str(path)) != before
