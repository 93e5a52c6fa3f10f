import h5py
import numpy as np
import pytest

from blockmill.shared.errors import StorageError
from blockmill.shared.volumes.hdf5.datasets import glob_datasets, glob_list, list_datasets

SHAPES = {"line": (7,), "volume/data": (3, 4), "volume/Data2": (2, 3, 4, 5, 6), "volume/deep/six": (1,) * 6}


@pytest.fixture(params=["x.h5", "x.hdf5", "x.ilp", "x.npz"])
def path(request, tmp_path):
    path = tmp_path / request.param
    arrays = {name: np.zeros(shape, "<u2") for name, shape in SHAPES.items()}
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
            file["volume/empty"] = h5py.Empty("u1")
    return path


def slashed(path, *names):
    return [name if path.suffix == ".npz" else f"/{name}" for name in names]


def test_datasets_are_listed_by_name_with_shape_and_dtype(path):
    names = slashed(path, "volume/Data2", "volume/data")
    assert list_datasets(path) == [(names[0], (2, 3, 4, 5, 6), "<u2"), (names[1], (3, 4), "<u2")]


@pytest.mark.parametrize(
    ("low", "high", "names"), [(1, 1, ["line"]), (6, 9, ["volume/deep/six"]), (3, 4, [])]
)
def test_the_number_of_axes_is_bounded_on_both_sides_inclusively(path, low, high, names):
    assert [item.name for item in list_datasets(str(path), low, high)] == slashed(path, *names)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["line", "volume/Data2", "volume/data", "volume/deep/six"]),
        ("volume/d*", ["volume/data", "volume/deep/six"]),
        ("/volume/[Dd]ata?", ["volume/Data2"]),
        ("volume/data", ["volume/data"]),
        ("data", []),
    ],
)
def test_a_pattern_means_datasets_of_any_shape_with_or_without_its_slash(path, pattern, names):
    assert glob_datasets(path, pattern) == slashed(path, *names)


def test_a_list_of_names_is_sorted_and_case_counts():
    assert glob_list(["b/a", "a", "B"], "*") == ["B", "a", "b/a"]
    assert glob_list(["b/a", "a", "B"], "b*") == ["b/a"]


@pytest.mark.parametrize("name", ["x.h5", "x.npz", "x.n5", "x.txt"])
@pytest.mark.parametrize("content", [None, b"", b"no such thing"])
def test_what_can_not_be_looked_into_is_told_with_its_name(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for look in (list_datasets, lambda p: glob_datasets(p, "*")):
        with pytest.raises(StorageError, match=f"{name}: "):
            look(path)


def test_a_cut_archive_is_told_and_nothing_in_it_is_unpickled(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, objects=np.array([[{}]], object))
    assert list_datasets(path) == [("objects", (1, 1), np.dtype(object))]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(StorageError, match=r"x\.npz: "):
        list_datasets(path)
