"""One way to cut ``f.h5/volume/data``, and what four callers make of it."""

import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blockmill.shared.errors import JobError
from blockmill.shared.lazyflow.paths import INNER_EXTENSIONS, PathComponents
from blockmill.shared.volumes.base.suffixes import HDF5_EXTENSIONS, cut_at_file, cuts, inner_path
from blockmill.shared.volumes.blockwise.layout import Naming
from blockmill.shared.volumes.registry import Address, split_address

NAMES = st.sampled_from(
    ["a", "b.h5", "c.H5", ".h5", "d.hdf5", "e.ilp", "f.h5.bak", "g.npz", "i.n5", "", "İ.h5"]
)
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


def model(path, extensions, fold=str):
    """Every beginning of the path that ends in a whole component with an ending, and what is left."""
    whole = path + "/"
    ends = [at for at, letter in enumerate(whole) if letter == "/"]
    return [(path[:at], path[at:]) for at in ends if fold(os.path.basename(path[:at])).endswith(extensions)]


@given(PATHS)
@example("/a.h5/b.hdf5/x.h5/d")
def test_a_path_is_cut_behind_each_whole_component_with_an_ending(path):
    assert cuts(path) == model(path, HDF5_EXTENSIONS)
    assert cuts(path, INNER_EXTENSIONS) == model(path, INNER_EXTENSIONS)
    assert cuts(path, any_case=True) == model(path, HDF5_EXTENSIONS, str.lower)
    assert all(file + rest == path for file, rest in cuts(path))


@given(PATHS)
def test_path_components_take_the_last_one(path):
    components = PathComponents(path)
    found = model(path, INNER_EXTENSIONS)
    file, inside = found[-1] if found else (path, "")
    assert (components.external_path, components.internal_path) == (file, inside or None)


@given(PATHS)
def test_block_names_take_the_last_one_with_something_inside(path):
    naming = Naming("/r", "x", f"n/{path}")
    found = [(file, inner_path(rest)) for file, rest in model(f"n/{path}", HDF5_EXTENSIONS)]
    found = [(file, inside) for file, inside in found if inside]
    if found:
        assert naming.split((0,), (1,)) == (os.path.normpath(found[-1][0]), found[-1][1])
    else:
        with pytest.raises(JobError, match="must be a file name"):
            naming.split((0,), (1,))


@settings(deadline=None)
@given(directories=st.integers(0, 3), names=st.lists(NAMES.filter(bool), min_size=1, max_size=5))
def test_an_address_takes_the_first_one_that_is_no_directory(tmp_path_factory, directories, names):
    root = str(tmp_path_factory.mktemp("tree"))
    os.makedirs("/".join([root, *names[:directories]]), exist_ok=True)
    path = "/".join([root, *names])
    found = [(f, r) for f, r in model(path, HDF5_EXTENSIONS, str.lower) if not os.path.isdir(f)]
    assert cut_at_file(path) == (found[0] if found else None)
    if found and inner_path(found[0][1]):
        assert split_address(path) == Address("hdf5", found[0][0], inner_path(found[0][1]))


def test_the_first_file_that_exists_holds_the_rest(tmp_path):
    (tmp_path / "a.h5").mkdir()
    (tmp_path / "a.h5/b.h5").touch()
    assert cut_at_file(f"{tmp_path}/a.h5/b.h5/c.h5/d") == (f"{tmp_path}/a.h5/b.h5", "/c.h5/d")


@pytest.mark.parametrize(
    ("rest", "inside"),
    [("", ""), ("/", ""), ("/volume/data", "volume/data"), ("//volume///data/", "volume/data")],
)
def test_the_path_inside_has_no_slashes_to_spare(rest, inside):
    assert inner_path(rest) == inside
