"""Pins of the lowest versions, taken from what pyproject.toml declares."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("lowest_bounds", ROOT / "tools" / "lowest_bounds.py")
lowest_bounds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lowest_bounds)


def project(*dependencies, **extras):
    return {"name": "blockmill", "dependencies": list(dependencies), "optional-dependencies": extras}


def test_bounds_become_pins_and_extras_bring_others():
    given = project(
        "numpy>=1.26", small=["a-b.c>=2"], test=["blockmill[small]", "dask[array,more]>=2024.8", "x==1"]
    )
    assert lowest_bounds.pins(given, []) == {"numpy": "1.26"}
    pins = lowest_bounds.pins(given, ["test"])
    assert pins == {"numpy": "1.26", "a-b.c": "2", "dask[array,more]": "2024.8", "x": "1"}


@pytest.mark.parametrize("text", ["numpy", "numpy>1", "numpy>=1.26,<3", "numpy>=1; python_version>'3'"])
def test_what_has_no_plain_lower_bound_is_refused(text):
    with pytest.raises(ValueError, match=r"has no lower bound; write it as name>=version"):
        lowest_bounds.pins(project(text), [])


def test_every_dependency_of_ours_has_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(lowest_bounds.pins(project, ["test"])) > len(project["dependencies"])
