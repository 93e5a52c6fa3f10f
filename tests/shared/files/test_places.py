"""Paths that lead to one place."""

import os

import pytest

from blockmill.shared.files.places import absolute


@pytest.mark.parametrize("path", ["f", "a/../f", "./a//f", "a/f", ".."])
def test_without_links_a_path_is_made_absolute_as_ever(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert absolute(path) == os.path.abspath(path)


@pytest.mark.parametrize("path", ["link/../f", "link/../../far/f", "x/../link/../f", "link/.."])
def test_behind_a_link_the_way_up_is_that_of_the_system(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far" / "inner").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    (tmp_path / "far" / "f").write_text("here")
    (tmp_path / "link").symlink_to("far/inner")
    assert os.path.samefile(absolute(path), path)
    assert os.path.samefile(absolute(path), tmp_path / "far" / ("" if path.endswith("..") else "f"))
