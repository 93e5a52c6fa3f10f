"""What outputs own and inputs are made of, and when two of them meet."""

import os
import subprocess

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.claims import claims_of, reads_of
from blockmill.shared.volumes.registry import split_address
from blockmill.shared.volumes.restful.description import (
    RESTfulFilesetDescription,
    RESTfulVolumeDescription,
    write_restful_description,
)


def claims(path):
    return claims_of(split_address(str(path)))


def reads(path):
    return reads_of(split_address(str(path)))


def fileset(path, root):
    description = FilesetDescription(
        axes="zyx",
        shape=(4, 4, 4),
        dtype="u1",
        block_shape=(2, 4, 4),
        block_file_name_format="b{roiString}.h5/d",
        dataset_root_dir=str(root),
    )
    BlockwiseFileset.create(path, description).close()


def test_an_output_meets_itself_whether_it_exists_or_not(tmp_path):
    for name in ("o.json", "o.npy", "o.h5/v"):
        mine = claims(tmp_path / name)
        assert mine.meeting(mine) is not None
        assert mine.meeting(claims(tmp_path / f"p{name}")) is None


def test_two_datasets_of_one_file_are_one_output(tmp_path):
    assert claims(tmp_path / "o.h5/a").meeting(claims(tmp_path / "o.h5/b/c"))


def test_places_below_blocks_or_records_are_the_outputs_own(tmp_path):
    mine = claims(tmp_path / "o.json")
    for inside in ("o_blocks/x.npy", "o_blocks/z_00000000/deep/x.h5/v", ".o.json.blockmill/x.npy"):
        assert mine.meeting(claims(tmp_path / inside)) and claims(tmp_path / inside).meeting(mine)
    for beside in ("o_blocks2/x.npy", "o_blocks.npy", "o.json.npy", "o.npy", "oo.json"):
        assert mine.meeting(claims(tmp_path / beside)) is None


def test_links_do_not_hide_a_place(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    np.save(tmp_path / "real" / "a.npy", np.zeros(3))
    os.link(tmp_path / "real" / "a.npy", tmp_path / "hard.npy")
    for spelled in ("link/a.npy", "real/../link/a.npy", "hard.npy"):
        assert claims(tmp_path / "real/a.npy").meeting(reads(tmp_path / spelled)) == str(tmp_path / spelled)
    assert claims(tmp_path / "link/new.json").meeting(claims(tmp_path / "real/new_blocks/x.npy"))


def test_a_mount_does_not_hide_a_place(tmp_path, bind_mount):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    bind_mount(tmp_path / "a", tmp_path / "b")
    assert (
        claims(tmp_path / "a/o.json").meeting(claims(tmp_path / "b/o_blocks/x.npy")) is None
    )  # not there yet
    (tmp_path / "a" / "o_blocks").mkdir()
    assert claims(tmp_path / "a/o.json").meeting(claims(tmp_path / "b/o_blocks/x.npy"))


@pytest.fixture
def bind_mount():
    mounted = []

    def mount(source, target):
        done = subprocess.run(
            ["mount", "--bind", source, target], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        mounted.append(target)

    yield mount
    for target in mounted:
        subprocess.run(["umount", target], check=True)


def test_a_fileset_reads_its_description_and_its_blocks_wherever_they_lie(tmp_path):
    fileset(tmp_path / "in.json", "far/blocks")
    assert reads(tmp_path / "in.json").meeting(claims(tmp_path / "far/blocks/x.npy"))
    assert claims(tmp_path / "far/blocks/x.npy").meeting(reads(tmp_path / "in.json"))
    assert reads(tmp_path / "in.json").meeting(claims(tmp_path / "far/other/x.npy")) is None


def test_of_a_volume_of_a_server_what_it_keeps_here_counts(tmp_path):
    local = FilesetDescription(
        axes="x",
        shape=(8,),
        dtype="u1",
        block_shape=(4,),
        block_file_name_format="{roiString}.h5/d",
        dataset_root_dir="../elsewhere",
    )
    url = "http://h/{x_start}-{x_stop}"
    remote = RESTfulVolumeDescription(axes="x", dtype="u1", bounds=(8,), url_format=url, hdf5_dataset="d")
    composite = RESTfulFilesetDescription(remote_description=remote, local_description=local)
    path = tmp_path / "v.json"
    write_restful_description(path, composite)
    assert [p.real for p in reads(path).places()] == [str(path), str(tmp_path.parent / "elsewhere")]
    write_restful_description(path, remote)
    assert [p.real for p in reads(path).places()] == [str(path)]


@pytest.mark.parametrize("root", [".", "", "..", "/"])
def test_blocks_in_a_folder_with_other_things_claim_only_what_is_named_like_them(tmp_path, root):
    (tmp_path / "data").mkdir()
    home = {"..": tmp_path, "/": tmp_path.root}.get(root, tmp_path / "data")
    fileset(tmp_path / "data" / "in.json", root)
    mine = reads(tmp_path / "data" / "in.json")
    assert claims(tmp_path / "data" / "o.json").meeting(mine) is None
    assert claims(tmp_path / "data" / "zz_1" / "o.npy").meeting(mine) is None
    inside = claims(os.path.join(home, "z_00000002", "y_00000000", "o.npy"))
    assert inside.meeting(mine) and mine.meeting(inside)


def test_a_file_that_can_not_be_opened_counts_by_itself(tmp_path):
    (tmp_path / "in.h5").write_bytes(b"no HDF5")
    (tmp_path / "in.json").write_text("{")
    os.mkfifo(tmp_path / "pipe.h5")
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("in.h5/v", "in.json", "pipe.h5/v", "pipe.json", "none.h5/v"):
        assert reads(tmp_path / name).meeting(claims(tmp_path / name))


def test_links_inside_of_files_are_followed_only_where_asked(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["x"] = np.zeros(3)
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["v"] = h5py.ExternalLink("raw.h5", "x")
    address = split_address(str(tmp_path / "in.h5/v"))
    assert claims(tmp_path / "raw.h5/x").meeting(reads_of(address))
    assert claims(tmp_path / "raw.h5/x").meeting(reads_of(address, follow_links=False)) is None


names = st.sampled_from(
    ["a.npy", "a.json", "a_blocks/z_00000000/b.npy", "b.h5/v", "b.h5/w", "c/a.json", "d.npy"]
)


@given(names, names)
def test_to_meet_is_mutual(tmp_path_factory, one, other):
    folder = tmp_path_factory.getbasetemp()
    a, b = claims(folder / one), claims(folder / other)
    assert (a.meeting(b) is None) == (b.meeting(a) is None)
