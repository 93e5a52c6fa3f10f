"""The arrows between the parts point down; nobody imports what is not theirs to use."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("shared", "daemon", "workers", "client")
MAY_IMPORT = {
    "shared": {"shared"},
    "daemon": {"daemon", "shared"},
    "workers": {"workers", "shared"},
    "client": {"client", "daemon", "shared", ""},
}
FLOOR = {"roi", "grid", "errors", "signal", "trace", "paths", "tinyvector", "roitools", "blockshapes"}
KEEPERS = {  # which files may import what, as few as there are reasons
    "zmq": {
        "client/connection.py",
        "client/endpoint.py",
        "daemon/dispatcher.py",
        "daemon/doors.py",
        "shared/keys.py",
        "workers/loop.py",
    },
    "portalocker": {"shared/filelock.py"},
    "sqlite3": {"daemon/journal.py", "daemon/journalfile.py"},
    "pickle": {"shared/volumes/objects.py"},
}
PURE = (
    "coordinator",
    "crewevents",
    "scheduler",
    "shares",
    "jobstate",
    "crew",
    "waiting",
    "blocks",
    "events",
    "jobbook",
)
NOT_PURE = {"time", "os", "socket", "threading", "random", "logging", "zmq"}


def sources():
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path):
    """(package of ours or None, dotted name) of each import in a file, wherever it stands."""
    here = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((None, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level]
            full = (*base, *(node.module or "").split("."))
            yield (full[0] if full else "", ".".join(full))
        elif isinstance(node, ast.ImportFrom):
            yield (None, node.module or "")


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_down(path):
    folder = path.relative_to(ROOT).parts[0]
    ours = {package for package, _ in imports(path) if package is not None}
    assert ours <= MAY_IMPORT[folder]
    assert not [name for package, name in imports(path) if package is None and name.startswith("blockmill")]


def test_the_floor_imports_only_the_floor():
    for name in FLOOR:
        ours = {
            full.split(".")[1] for package, full in imports(ROOT / f"shared/{name}.py") if package is not None
        }
        assert ours <= FLOOR


@pytest.mark.parametrize("module", KEEPERS)
def test_a_library_with_keepers_is_imported_by_them_alone(module):
    users = {
        str(path.relative_to(ROOT))
        for path in sources()
        for package, name in imports(path)
        if package is None and name.split(".")[0] == module
    }
    assert users == KEEPERS[module]


def test_scipy_stays_in_the_operations():
    users = {
        path.parent.name
        for path in sources()
        for package, name in imports(path)
        if package is None and name.split(".")[0] == "scipy"
    }
    assert users == {"operations"}


@pytest.mark.parametrize("name", PURE)
def test_the_pure_parts_touch_nothing(name):
    names = {full.split(".")[0] for package, full in imports(ROOT / f"daemon/{name}.py") if package is None}
    assert not names & NOT_PURE


def test_the_packages_in_pyproject_are_the_folders_with_an_init():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"blockmill"} | {
        ".".join(("blockmill", *path.parent.relative_to(ROOT).parts))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert listed == found
