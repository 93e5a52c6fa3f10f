import subprocess
import sys

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import StorageError
from blockmill.shared.volumes.hdf5.contents import contents_beside, is_hdf5
from blockmill.shared.volumes.hdf5.sources import candidates, files_behind


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["v/data"] = [1]
        file["v/data"].attrs["note"] = "belongs to the dataset"
        file["v/more/deep"] = [2]
        file["v"].attrs["unit"] = "um"
        file["link"] = h5py.ExternalLink("b.h5", "x")
        file["vv/data"] = [3]
        file.attrs["project"] = 1
    return path


def test_all_that_lies_beside_a_dataset_is_named(made):
    assert sorted(contents_beside(made, "/v/data")) == [
        "a user block of 512 bytes",
        "attribute 'project' of /",
        "attribute 'unit' of /v",
        "link link",
        "v/more",
        "vv",
    ]


def test_of_another_dataset_the_whole_is_beside(made):
    assert {"v", "vv"} <= set(contents_beside(made, "new/data"))


def test_a_file_of_one_dataset_holds_nothing_beside_it(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v/w/data"] = [1]
    assert contents_beside(tmp_path / "a.h5", "v/w/data") == []


def test_what_can_not_be_looked_into_is_an_error(tmp_path, made):
    (tmp_path / "b.h5").write_bytes(made.read_bytes()[:1500])
    with pytest.raises(StorageError, match=r"b\.h5"):
        contents_beside(tmp_path / "b.h5", "v")
    with h5py.File(made, "r+"):  # so that another process may not look into it
        done = subprocess.run(
            [sys.executable, "-c", LOOKS, made], capture_output=True, text=True, check=False
        )
    assert done.returncode == 7, done.stderr


LOOKS = """
import sys
from blockmill.shared.errors import StorageError
from blockmill.shared.volumes.hdf5.contents import contents_beside
try:
    contents_beside(sys.argv[1], "v")
except StorageError:
    sys.exit(7)
"""


@pytest.mark.parametrize(
    ("content", "is_one"), [(b"", False), (b"text", False), (b"\x89HDF\r\n\x1a\n", True)]
)
def test_a_file_is_known_by_its_signature(tmp_path, content, is_one):
    (tmp_path / "a.h5").write_bytes(content)
    assert is_hdf5(tmp_path / "a.h5") == is_one


def test_files_behind_a_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("a.h5", "w") as file:
        file["x/y"] = np.zeros((4, 4), "u1")
        file["raw"] = file["x/y"]
        file.create_dataset("e", (4,), "u1", external=[("one.bin", 0, 2), ("two.bin", 0, 2)])
    with h5py.File("b.h5", "w") as file:
        file["g"] = h5py.ExternalLink("a.h5", "/x")
        file["s"] = h5py.SoftLink("/g/y")
        file["k/rel"] = h5py.SoftLink("w")
        file["k/w"] = h5py.ExternalLink("a.h5", "e")
        file["loop"] = h5py.SoftLink("loop")
        layout = h5py.VirtualLayout((4, 8), "u1")
        layout[:, :4] = h5py.VirtualSource("a.h5", "x/y", (4, 4))
        layout[:, 4:] = h5py.VirtualSource("gone.h5", "v", (4, 4))
        file.create_virtual_dataset("v", layout)
        inner = h5py.VirtualLayout((4, 8), "u1")
        inner[:] = h5py.VirtualSource(".", "v", (4, 8))
        file.create_virtual_dataset("nested", inner)
    linked = ["b.h5", "a.h5"]
    assert files_behind("a.h5", "x/y") == ["a.h5"]
    assert files_behind("b.h5", "g/y") == files_behind("b.h5", "s") == linked
    assert files_behind("b.h5", "k/rel") == [*linked, "one.bin", "two.bin"]
    assert files_behind("b.h5", "v") == files_behind("b.h5", "nested") == [*linked, "gone.h5"]
    assert files_behind("b.h5", "loop") == files_behind("b.h5", "none") == ["b.h5"]


def test_files_behind_a_dataset_wherever_hdf5_looks_for_them(tmp_path, monkeypatch):
    for name in ("real", "lnk", "sub"):
        (tmp_path / name).mkdir()
    for name in ("real/src.h5", "src.h5", "sub/part-0.h5", "sub/part-1.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["v"] = np.zeros(4, "u1")
    with h5py.File(tmp_path / "real/x.h5", "w") as file:
        file["e"] = h5py.ExternalLink("src.h5", "v")
        file["gone"] = h5py.ExternalLink("/nowhere/src.h5", "v")
    (tmp_path / "lnk/x.h5").symlink_to("../real/x.h5")
    source = str(tmp_path / "real/src.h5")
    assert source in files_behind(str(tmp_path / "lnk/x.h5"), "e")
    assert source in files_behind(str(tmp_path / "real/x.h5"), "gone")
    with h5py.File(tmp_path / "sub/x.h5", "w") as file:
        file["cwd"] = h5py.ExternalLink("src.h5", "v")
    monkeypatch.chdir(tmp_path)
    assert "./src.h5" in files_behind("sub/x.h5", "cwd")
    assert {"sub/part-0.h5", "sub/part-1.h5"} <= set(candidates("sub/x.h5", "part-%b.h5"))


def test_a_group_of_the_datasets_name_is_something_else(tmp_path):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file["d/labels"] = [1]
    assert contents_beside(tmp_path / "n.h5", "d") == ["d"]
