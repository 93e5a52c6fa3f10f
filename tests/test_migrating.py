"""The page for people who come from lazyflow: every name that it gives as ours exists."""

import importlib
import re
from pathlib import Path

import pytest

import blockmill

PAGE = Path(__file__).parent.parent / "docs" / "migrating.md"
LATER = "## What renaming does not do"


def rows(text):
    return [
        line.strip("| ").split(" | ")
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| lazyflow |", "| yours |"))
    ]


def names():
    """The names of ours in the first table."""
    cells = [cells[1] for cells in rows(PAGE.read_text().partition(LATER)[0])]
    found = re.findall(r"`([^`]+)`", " ".join(cells))
    return [name for name in found if not name.startswith(("blockmill volume", "blockmill cluster"))]


def resolved(name):
    """What a name leads to: in `blockmill`, in a module that it spells out, or an attribute of the batch."""
    name = name.partition("(")[0]
    if name.startswith("."):
        return vars(blockmill.RoiRequestBatch(blockmill_array(), []))[name[1:]]
    if name.startswith("blockmill."):
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)
    value = blockmill
    for part in name.split("."):
        value = getattr(value, part)
    return value


def blockmill_array():
    import numpy as np

    return np.zeros((2, 2), np.uint8)


def test_there_is_a_row_for_each_kind_of_thing():
    assert len(rows(PAGE.read_text().partition(LATER)[0])) > 35
    assert len(rows(PAGE.read_text().partition(LATER)[2])) > 15


@pytest.mark.parametrize("name", names())
def test_a_name_of_ours_exists(name):
    if name.startswith(("os.", "urllib.")):
        assert importlib.import_module(name.partition("(")[0].rpartition(".")[0])
    else:
        assert resolved(name) is not None


def test_a_name_that_is_wrong_is_found():
    for wrong in ("BlockwiseFileset.readData", "blockmill.shared.lazyflow.roitools.nothing", "nothing"):
        with pytest.raises(AttributeError):
            resolved(wrong)
