"""Formats that are not read are told as what they are, with two lines of Python that convert them."""

import ast
import gzip
import struct

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import JobError
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.registry import open_volume

DATA = sample((3, 4, 5), "uint16")


def told(path):
    """(what is said about a path, the two lines of Python in it)."""
    with pytest.raises(JobError) as caught:
        open_volume(path)
    message, *lines = str(caught.value).split("\n    ")
    assert len(lines) == 2
    return message, lines


def run(lines):
    """Run the two lines; return the array in the file that the second one names."""
    exec("\n".join(lines), {})
    call = ast.parse(lines[1]).body[0].value
    return open_volume(ast.literal_eval(call.args[0])).read()


def tiff(path):
    pytest.importorskip("tifffile").imwrite(path, DATA, photometric="minisblack")


def folder_of_tiffs(path):
    tifffile = pytest.importorskip("tifffile")
    path.mkdir()
    for z in range(3):
        tifffile.imwrite(path / f"{z:03}.tif", DATA[z])


def folder_of_pngs(path):
    imageio = pytest.importorskip("imageio.v3")
    path.mkdir()
    for z in range(3):
        imageio.imwrite(path / f"{z:03}.png", DATA[z])


def png(path):
    pytest.importorskip("imageio.v3").imwrite(path, DATA[0])


def zarr_array(path):
    pytest.importorskip("zarr").save_array(path, DATA, zarr_format=2)


def zarr_group(path):
    zarr = pytest.importorskip("zarr")
    zarr.save_array(f"{path}/s0", DATA, zarr_format=2)
    zarr.open_group(path, mode="a", zarr_format=2)


def n5(path):
    zarr = pytest.importorskip("zarr")
    if not hasattr(zarr, "N5Store"):
        pytest.skip("this zarr does not know N5")
    zarr.save_array(zarr.N5Store(str(path)), DATA)


def nifti(path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(DATA.T, np.eye(4)), path)


def mrc(path):
    mrcfile = pytest.importorskip("mrcfile")
    with mrcfile.new(path) as file:
        file.set_data(DATA)


def npz(path):
    np.savez(path, volume=DATA)


def raw(path):
    DATA.tofile(path)


MAKERS = [
    (tiff, "a.tif", "a TIFF file"), (tiff, "no ending", "a TIFF file"), (png, "a.png", "an image of one"),
    (folder_of_tiffs, "slices", "a folder of images"), (folder_of_pngs, "slices", "a folder of images"),
    (zarr_array, "a.zarr", "a Zarr"), (zarr_group, "a.zarr", "a Zarr"), (n5, "a.n5", "an N5"),
    (nifti, "a.nii", "a NIfTI"), (nifti, "a.nii.gz", "a NIfTI"), (mrc, "a.mrc", "an MRC"),
    (npz, "a.npz", "an archive"),
    (npz, "a.npy.npz", "an archive"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "name", "kind"), MAKERS)
def test_the_lines_that_are_told_make_a_volume_of_the_same_voxels(tmp_path, make, name, kind):
    path = tmp_path / "it's ä" / name
    path.parent.mkdir()
    make(path)
    message, lines = told(path)
    assert message.startswith(f"{path} is {kind}")
    np.testing.assert_array_equal(run(lines), DATA[0] if make is png else DATA)


def test_of_bare_voxels_dtype_and_shape_are_filled_in(tmp_path):
    raw(tmp_path / "a.raw")
    message, lines = told(tmp_path / "a.raw")
    assert "with its dtype and its shape in place of these" in message
    np.testing.assert_array_equal(run([lines[0], lines[1].replace("100, 512, 512", "3, 4, 5")]), DATA)


def test_no_file_is_overwritten_by_the_lines(tmp_path):
    npz(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", DATA * 0)
    np.save(tmp_path / "a.npz.npy", DATA * 0)
    assert told(tmp_path / "a.npz")[1][1].startswith(f"numpy.save('{tmp_path}/a.npz-2.npy'")


def test_a_pattern_is_a_folder_of_slices(tmp_path):
    folder_of_tiffs(tmp_path / "slices")
    np.testing.assert_array_equal(run(told(f"{tmp_path}/slices/*.tif")[1]), DATA)


def heads():
    """First bytes of each kind of file, so that no library is needed to make it."""
    nii = bytearray(352)
    nii[344:348] = b"n+1\0"
    mrc_head = bytearray(1024)
    mrc_head[208:212] = b"MAP "
    return {
        "a.tif": (b"II*\0" + bytes(600), "a TIFF file"), "b.tif": (b"MM\0*" + bytes(9), "a TIFF file"),
        "c.tif": (b"II+\0" + bytes(9), "a TIFF file"), "a.png": (b"\x89PNG\r\n\x1a\n", "an image"),
        "a.jpg": (b"\xff\xd8\xff\xe0", "an image"), "a.nii": (bytes(nii), "a NIfTI"),
        "a.nii.gz": (gzip.compress(bytes(nii)), "a NIfTI"), "a.rec": (bytes(mrc_head), "an MRC"),
        "a.raw": (struct.pack("5H", *range(5)), "a file of bare voxels"),
        "a.bin": (b"", "a file of bare voxels"),
    }  # fmt: skip


@pytest.mark.parametrize("name", heads())
def test_a_file_is_known_by_its_first_bytes(tmp_path, name):
    content, kind = heads()[name]
    (tmp_path / name).write_bytes(content)
    message, lines = told(tmp_path / name)
    assert message.startswith(f"{tmp_path}/{name} is {kind}")
    assert lines[1].startswith(f"numpy.save('{tmp_path}/a.npy'".replace("/a.", f"/{name[0]}."))


@pytest.mark.parametrize("entry", [".zarray", ".zgroup", "attributes.json", "0.tif", "0.PNG"])
def test_a_folder_is_known_by_what_is_in_it(tmp_path, entry):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / entry).write_bytes(b"{}")
    kind = (
        "an N5"
        if entry == "attributes.json"
        else "a Zarr"
        if "." in entry[:1] or "zarr" in entry
        else "a folder"
    )
    assert told(tmp_path / "folder")[0].startswith(f"{tmp_path}/folder is {kind}")


@pytest.mark.parametrize(
    "name", ["a.tif", "a.zarr", "a.zarr/0", "a.npz", "a.raw", "slices/*.tif", "a.npy", "a.h5/d"]
)
def test_what_does_not_exist_is_told_as_that_first(tmp_path, name):
    with pytest.raises(JobError, match=r"^\S*a?\S* does not exist") as caught:
        open_volume(tmp_path / name)
    assert "numpy.save" not in str(caught.value)


def test_an_archive_under_the_name_of_an_array_is_told_as_what_it_is(tmp_path):
    npz(tmp_path / "a.npz")
    (tmp_path / "a.npz").rename(tmp_path / "b.npy")
    assert told(tmp_path / "b.npy")[0].startswith(f"{tmp_path}/b.npy is an archive of numpy (volume)")


def test_what_can_be_read_is_no_foreign_format(tmp_path):
    np.save(tmp_path / "a.npy", DATA)
    with h5py.File(tmp_path / "a.raw", "w") as file:
        file["d"] = DATA
    for address in ("a.npy", "a.raw/d"):
        np.testing.assert_array_equal(open_volume(tmp_path / address).read(), DATA)


def test_a_folder_or_file_of_nothing_known_is_no_address(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for name in ("folder", "notes.txt"):
        with pytest.raises(JobError, match="no address of a known kind"):
            open_volume(tmp_path / name)
