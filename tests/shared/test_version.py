import tomllib
from pathlib import Path

import pytest

import blockmill
from blockmill.shared.version import __version__, is_older

IN_ORDER = ["", "0.1.0", "0.1.1rc1", "0.1.1", "0.2.0.dev0", "0.2.0", "0.2.1", "0.10", "1.0.0", "1.0.0.1"]


def test_the_version_is_the_same_wherever_it_stands():
    project = tomllib.loads((Path(blockmill.__file__).parent / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__ == blockmill.__version__


@pytest.mark.parametrize("place", range(1, len(IN_ORDER)))
def test_an_older_version_comes_before_a_newer_one(place):
    older, newer = IN_ORDER[place - 1], IN_ORDER[place]
    assert is_older(older, newer)
    assert not is_older(newer, older)
    assert not is_older(newer, newer)


def test_closing_zeros_make_no_other_version():
    assert not is_older("0.2", "0.2.0")
    assert not is_older("0.2.0", "0.2")


@pytest.mark.parametrize("text", ["nonsense", "v1", "9" * 5000])
def test_any_text_has_its_place(text):
    assert is_older(text, "0.1") != is_older("0.1", text)
