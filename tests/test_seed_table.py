"""The table of lazyflow's utilities names modules and tests that exist."""

import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "seed-utilities.md"


def rows():
    """(number, modules, tests) of each row, the cells as they are written."""
    lines = [re.split(r"\s*\|\s*", line) for line in TABLE.read_text().splitlines()]
    return [(int(cells[1]), cells[3], cells[4]) for cells in lines if len(cells) > 5 and cells[1].isdigit()]


def files(cell, root):
    """The files of a cell; one without a folder lies beside the one before it."""
    folder, found = root, []
    for name in re.findall(r"`([^`]+\.py)`", cell):
        stem, braces, rest = re.fullmatch(r"([^{]*)(?:\{(.*)\})?(.*)", name).groups()
        for middle in (braces or "").split(","):
            path = root / f"{stem}{middle}{rest}"
            path = path if "/" in name else folder / path.name
            folder = path.parent
            found.append(path)
    return found


def test_every_feature_has_a_row_of_its_own():
    assert [number for number, _, _ in rows()] == list(range(1, 61))


@pytest.mark.parametrize(("number", "modules", "tests"), rows())
def test_what_a_row_names_exists(number, modules, tests):
    homes, witnesses = files(modules, ROOT), files(tests, ROOT / "tests")
    assert homes and witnesses
    assert [path for path in itertools.chain(homes, witnesses) if not path.is_file()] == []
    defined = set(re.findall(r"def (test_\w+)\(", "".join(path.read_text() for path in witnesses)))
    assert set(re.findall(r"`(test_\w+)`", tests)) - defined == set()
