import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.lazyflow import paths
from blockmill.shared.lazyflow.paths import PathComponents, PathError, get_path_variants

PARTS = [
    "external_path",
    "external_directory",
    "filename",
    "filename_base",
    "extension",
    "internal_path",
    "internal_dataset_name",
    "internal_directory",
]


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/a/b/f.h5/v/d", ("/a/b/f.h5", "/a/b", "f.h5", "f", ".h5", "/v/d", "d", "/v")),
        ("/a/b/f.h5/", ("/a/b/f.h5", "/a/b", "f.h5", "f", ".h5", "/", "", "/")),
        ("/a/f.txt", ("/a/f.txt", "/a", "f.txt", "f", ".txt", None, None, None)),
        ("/a/f.h5", ("/a/f.h5", "/a", "f.h5", "f", ".h5", None, None, None)),
        ("/a/f.tar.gz", ("/a/f.tar.gz", "/a", "f.tar.gz", "f.tar", ".gz", None, None, None)),
        ("/a/b/", ("/a/b/", "/a/b", "", "", "", None, None, None)),
        ("/a/f.npz/d", ("/a/f.npz", "/a", "f.npz", "f", ".npz", "/d", "d", "/")),
        ("/a/*.ilp/d", ("/a/*.ilp", "/a", "*.ilp", "*", ".ilp", "/d", "d", "/")),
        ("a\\f.n5\\d", ("a/f.n5", "a", "f.n5", "f", ".n5", "/d", "d", "/")),
        (
            "http://h:8000/p/f.h5/d",
            ("http://h:8000/p/f.h5", "http://h:8000/p", "f.h5", "f", ".h5", "/d", "d", "/"),
        ),
    ],
)
def test_a_path_is_cut_into_its_parts(path, parts):
    components = PathComponents(path)
    assert tuple(getattr(components, part) for part in PARTS) == parts
    assert components.total_path() == path.replace("\\", "/")


@pytest.mark.parametrize(
    ("path", "external"),
    [
        ("/a/f.h5_crazy.h5/d", "/a/f.h5_crazy.h5"),
        ("/a.h5/b/c.h5/d", "/a.h5/b/c.h5"),
        ("/a.h5/b.hdf5/x.h5/d", "/a.h5/b.hdf5/x.h5"),
        ("/old.h5.d/f.hdf5/d", "/old.h5.d/f.hdf5"),
        ("/a/f.h5/not.h5_there", "/a/f.h5"),
    ],
)
def test_only_a_whole_component_with_the_extension_ends_the_file(path, external):
    components = PathComponents(path)
    assert components.external_path == external
    assert components.internal_path == path.removeprefix(external)


@pytest.mark.parametrize(
    ("part", "value", "total"),
    [
        ("external_path", "/x/y.hdf5", "/x/y.hdf5/v/d"),
        ("external_directory", "/x/", "/x/f.h5/v/d"),
        ("filename", "g.hdf5", "/a/b/g.hdf5/v/d"),
        ("filename_base", "g", "/a/b/g.h5/v/d"),
        ("extension", ".ilp", "/a/b/f.ilp/v/d"),
        ("internal_path", "w/e", "/a/b/f.h5/w/e"),
        ("internal_path", None, "/a/b/f.h5"),
        ("internal_dataset_name", "e", "/a/b/f.h5/v/e"),
        ("internal_directory", "w", "/a/b/f.h5/w/d"),
        ("internal_directory", "/", "/a/b/f.h5/d"),
    ],
)
def test_a_part_that_is_set_takes_the_others_along(part, value, total):
    components = PathComponents("/a/b/f.h5/v/d")
    setattr(components, part, value)
    assert components.total_path() == total
    assert components == PathComponents(total)


@pytest.mark.parametrize(
    ("path", "part", "value"),
    [
        ("/a/f.h5/d", "external_path", "/a/b/"),
        ("/a/f.h5/d", "extension", ".png"),
        ("/a/f.png", "internal_path", "/d"),
        ("/a/f.h5", "internal_dataset_name", "d"),
        ("/a/f.h5", "internal_directory", "v"),
    ],
)
def test_a_part_that_the_path_cant_have_is_refused_and_nothing_changes(path, part, value):
    components = PathComponents(path)
    with pytest.raises(PathError):
        setattr(components, part, value)
    assert components.total_path() == path


def test_a_misspelt_part_is_refused():
    with pytest.raises(AttributeError):
        PathComponents("/a").externalpath = "/b"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_relative_path_is_seen_from_cwd():
    assert PathComponents("../f.h5/d", "/a/b").total_path() == "/a/f.h5/d"
    assert PathComponents("http://h/f.h5/d", "/a/b").total_path() == "http://h/f.h5/d"


@given(st.text("ab./h5:", max_size=20))
def test_the_parts_together_are_the_path(path):
    assert PathComponents(path).total_path() == path


@pytest.mark.parametrize(
    ("path", "variants"),
    [
        ("/a/b/f.txt", ("/a/b/f.txt", "../b/f.txt")),
        ("/a/../b", ("/a/../b", "../../b")),
        ("../f.txt", ("/a/f.txt", "../f.txt")),
        ("x//f.txt", ("/a/w/x/f.txt", "x//f.txt")),
        ("", ("/a/w", "")),
        ("http://h/f", ("http://h/f", None)),
    ],
)
def test_a_path_has_an_absolute_and_a_relative_form(path, variants):
    assert get_path_variants(path, "/a/w") == variants


def test_the_absolute_form_is_absolute_without_a_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert get_path_variants("f", "") == (str(tmp_path / "f"), "f")
    monkeypatch.chdir("/")
    assert paths.make_absolute("f") == "/f"  # not that of the import


def test_a_tilde_is_the_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert get_path_variants("~/f", "/home") == ("/home/me/f", "me/f")
    assert not paths.is_relative("~/f")
    assert paths.is_relative("a/~")


def test_another_drive_has_no_relative_form(monkeypatch):
    def refuse(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", refuse)
    assert get_path_variants("/a", "/b") == ("/a", None)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a:b", ["a", "b"]),
        ("a::b:", ["a", "b"]),
        ("http://h/a:b", ["http://h/a", "b"]),
        ("a:http://h:8000/b:c", ["a", "http://h:8000/b", "c"]),
        ("http://h/a:80", ["http://h/a", "80"]),
        ("/a/b://c", ["/a/b", "//c"]),
    ],
)
def test_a_list_of_paths_is_cut_but_no_address(text, parts):
    assert paths.split_paths(text, ":") == parts


@pytest.mark.parametrize("length", range(2, 40))
def test_a_path_fits_into_the_display(length):
    path = "/a/quite/long/path/to/cells.h5"
    shown = paths.compress_path_for_display(path, length)
    assert len(shown) == min(length, len(path))
    assert (shown == path) == (length >= len(path))
