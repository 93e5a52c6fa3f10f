"""Each package imports what its row of the table allows, and nothing else; libraries have keepers."""

import ast
import functools
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOP = ("shared", "daemon", "workers", "client")

# What each package may import of ours beside itself, the lowest floor first. `shared` alone means the
# modules that lie in shared/ itself (errors, expressions); the root is the package's version.
MAY_IMPORT = {
    "shared": "the-root",
    "shared/files": "shared",
    "shared/geometry": "shared",
    "shared/locking": "shared shared/files",
    "shared/system": "shared",
    "shared/messages": "shared shared/system",
    "shared/memory": "shared/messages",
    "shared/schema": "shared shared/geometry",
    "shared/operations": "shared shared/geometry shared/schema",
    "shared/jobs": "shared shared/files shared/operations shared/schema shared/volumes shared/volumes/base",
    "shared/config": "shared shared/files shared/jobs shared/schema",
    "shared/volumes/base": "shared shared/files shared/geometry shared/schema",
    "shared/volumes/hdf5": "shared shared/files shared/geometry shared/schema shared/volumes/base",
    "shared/volumes/blockwise/fast": "shared/files shared/geometry shared/volumes/hdf5",
    "shared/volumes/blockwise": "shared shared/files shared/geometry shared/locking shared/volumes/base"
    " shared/volumes/hdf5 shared/volumes/blockwise/fast",
    "shared/volumes/restful": "shared shared/files shared/geometry shared/volumes/base"
    " shared/volumes/hdf5 shared/volumes/blockwise shared/volumes/blockwise/fast",
    "shared/volumes/zarr": "shared shared/files shared/geometry shared/schema shared/volumes/base",
    "shared/volumes/formats": "shared shared/files shared/geometry shared/volumes/base"
    " shared/volumes/hdf5 shared/volumes/blockwise shared/volumes/restful shared/volumes/zarr shared/volumes",
    "shared/volumes": "shared shared/files shared/geometry shared/volumes/base shared/volumes/hdf5"
    " shared/volumes/blockwise shared/volumes/restful",
    "shared/lazyflow": "shared shared/files shared/geometry shared/schema shared/volumes/base",
    "workers/kernels": "shared shared/geometry shared/operations",
    "workers": "shared shared/files shared/geometry shared/memory shared/messages shared/system"
    " shared/operations shared/volumes shared/volumes/base workers/kernels",
    "daemon/scheduling": "",
    "daemon/planning": "shared shared/geometry shared/operations shared/jobs shared/volumes/base",
    "daemon/executors": "shared/geometry shared/memory shared/messages",
    "daemon/executors/local": "shared shared/locking shared/memory shared/messages shared/system"
    " daemon/executors",
    "daemon/engine": "shared shared/geometry shared/memory shared/messages shared/system"
    " daemon/scheduling daemon/executors daemon/executors/local",
    "daemon/journal": "shared shared/files shared/messages",
    "daemon/runs/outputs": "shared shared/files shared/geometry shared/locking shared/messages"
    " shared/operations shared/jobs shared/volumes/base shared/volumes daemon/scheduling daemon/planning"
    " daemon/engine",
    "daemon/runs/inputs": "shared shared/files shared/geometry shared/messages shared/operations"
    " shared/jobs shared/volumes/base shared/volumes daemon/planning daemon/runs/outputs",
    "daemon/runs": "shared shared/files shared/geometry shared/operations shared/jobs shared/messages"
    " shared/volumes daemon/engine daemon/executors/local daemon/planning daemon/scheduling"
    " daemon/runs/outputs daemon/runs/inputs",
    "daemon/service/clients": "shared shared/system shared/config",
    "daemon/service/jobs": "shared shared/jobs shared/messages shared/volumes daemon/journal",
    "daemon/service": "shared shared/schema shared/operations shared/config shared/files"
    " shared/geometry shared/jobs shared/locking shared/messages shared/system shared/volumes"
    " daemon/engine daemon/executors daemon/journal daemon/runs/outputs daemon/service/clients"
    " daemon/service/jobs daemon/runs daemon/scheduling",
    "client/service": "shared shared/config shared/jobs shared/messages",
    "client/library": "shared shared/files shared/geometry shared/operations shared/jobs"
    " shared/lazyflow shared/memory shared/messages shared/volumes shared/volumes/base"
    " shared/volumes/blockwise daemon/engine daemon/planning daemon/scheduling",
    "client/formatting": "shared shared/messages",
    "client/http": "shared shared/geometry shared/volumes/base shared/volumes/restful",
    "client/manpages": "the-root shared/config shared/jobs",
    "client/doctor": "the-root shared shared/config shared/locking shared/messages shared/system"
    " shared/volumes daemon/executors/local daemon/service client/service",
    "client/cluster": "shared shared/geometry shared/operations shared/jobs shared/volumes/hdf5"
    " shared/lazyflow shared/locking shared/volumes shared/volumes/base shared/volumes/blockwise"
    " daemon/engine daemon/runs/outputs daemon/runs/inputs client/formatting client/library",
    "client/verify": "shared shared/files shared/geometry shared/volumes shared/volumes/base"
    " daemon/runs/outputs",
    "client/cli": "the-root shared shared/files shared/geometry shared/operations shared/jobs"
    " shared/messages shared/system daemon/engine daemon/planning daemon/runs/outputs daemon/runs"
    " client/formatting client/service",
    "client/cli/verbs": "the-root shared shared/schema shared/operations shared/config shared/jobs"
    " shared/lazyflow shared/messages shared/system daemon/runs daemon/service client/cli client/cluster"
    " client/doctor client/formatting client/manpages client/service",
    "client/cli/verbs/volume": "shared shared/geometry shared/lazyflow shared/volumes"
    " shared/volumes/base shared/volumes/blockwise shared/volumes/restful daemon/runs/outputs client/cli"
    " client/formatting client/http client/library client/verify",
}
CIRCLES: dict[frozenset[str], str] = {}  # packages that import each other, with the reason
KEEPERS = {  # which files may import what, as few as there are reasons
    "zmq": {
        "client/service/async_connection.py",
        "client/service/connection.py",
        "client/service/endpoint.py",
        "client/service/exchange.py",
        "daemon/executors/local/executor.py",
        "daemon/service/clients/listener.py",
        "daemon/service/sockets.py",
        "shared/config/keys.py",
        "workers/loop.py",
    },
    "portalocker": {"shared/locking/flock.py"},
    "sqlite3": {"daemon/journal/journal.py", "daemon/journal/database.py", "daemon/journal/migration.py"},
    "pickle": {"shared/volumes/blockwise/pickled.py"},
}
JOBS = ROOT / "daemon/service/jobs"
PURE_JOBS = ("job_index.py", "job_table.py", "pauses.py", "removal.py")
PURE = (*sorted((ROOT / "daemon/scheduling").glob("*.py")), *(JOBS / name for name in PURE_JOBS))
NOT_PURE = {"time", "os", "socket", "threading", "random", "logging", "zmq"}


def sources():
    return [path for folder in TOP for path in sorted((ROOT / folder).rglob("*.py"))]


def named(path):
    return path.relative_to(ROOT).as_posix()


def package_of(parts):
    """The package that a dotted name of ours lies in."""
    folder = ROOT
    for part in parts:
        if not (folder / part / "__init__.py").is_file():
            break
        folder /= part
    return named(folder) if folder != ROOT else "the-root"


@functools.cache
def imports(path):
    """(package of ours or None, dotted name) of each import in a file, wherever it stands."""
    here = path.relative_to(ROOT).with_suffix("").parts
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(None, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = (*here[: len(here) - node.level], *filter(None, (node.module or "").split(".")))
            for alias in node.names:
                full = (*base, alias.name)
                found.append((package_of(full), ".".join(full)))
        elif isinstance(node, ast.ImportFrom):
            found.append((None, node.module or ""))
    return tuple(found)


def arrows():
    """(importing package, imported package) for all imports that leave their package."""
    pairs = {
        (named(path.parent), package)
        for path in sources()
        for package, _ in imports(path)
        if package is not None
    }
    return {(here, there) for here, there in pairs if here != there}


@pytest.mark.parametrize("path", sources(), ids=named)
def test_a_module_imports_what_its_package_may(path):
    here = named(path.parent)
    found = {package for package, _ in imports(path) if package is not None}
    assert found - {here} <= set(MAY_IMPORT.get(here, "").split())
    assert not [name for package, name in imports(path) if package is None and name.startswith("blockmill")]


def test_every_package_has_a_row_and_no_row_allows_more_than_is_used():
    packages = {named(path.parent) for path in sources() if path.name != "__init__.py"}
    assert packages <= set(MAY_IMPORT)
    allowed = {(here, there) for here, row in MAY_IMPORT.items() for there in row.split()}
    assert allowed - arrows() == set()


def test_no_circle_between_packages_but_those_with_a_reason():
    ours = arrows()
    reached = {here: {there for a, there in ours if a == here} for here, _ in ours}
    changed = True
    while changed:
        changed = False
        for here, there in [(here, t) for here, row in reached.items() for t in row]:
            missing = reached.get(there, set()) - reached[here]
            reached[here] |= missing
            changed |= bool(missing)
    circles = {
        frozenset({here, there})
        for here, row in reached.items()
        for there in row
        if here != there and here in reached.get(there, set())
    }
    assert circles == set(CIRCLES)


@pytest.mark.parametrize("module", KEEPERS)
def test_a_library_with_keepers_is_imported_by_them_alone(module):
    users = {
        named(path)
        for path in sources()
        for package, name in imports(path)
        if package is None and name.split(".")[0] == module
    }
    assert users == KEEPERS[module]


def test_scipy_stays_in_the_kernels():
    users = {
        named(path.parent)
        for path in sources()
        for package, name in imports(path)
        if package is None and name.split(".")[0] == "scipy"
    }
    assert users == {"workers/kernels"}


@pytest.mark.parametrize("path", PURE, ids=named)
def test_the_pure_parts_touch_nothing(path):
    names = {name.split(".")[0] for package, name in imports(path) if package is None}
    assert not names & NOT_PURE


def test_a_folder_holds_few_modules_except_equals():
    equals = ("verbs", "operations", "kernels", "formats")
    full = {}
    for path in sources():
        if path.name != "__init__.py" and not named(path.parent).endswith(equals):
            full.setdefault(named(path.parent), []).append(path.name)
    assert {folder: names for folder, names in full.items() if len(names) > 16} == {}


def test_the_packages_in_pyproject_are_the_folders_with_an_init():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"blockmill"} | {
        ".".join(("blockmill", *path.parent.relative_to(ROOT).parts))
        for folder in TOP
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert listed == found
