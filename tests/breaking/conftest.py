"""Everything broken on purpose. `make break` runs all of it; what takes long has the mark `long`."""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_processes = _load("bench_of_processes", HERE.parent / "processes" / "conftest.py")
_load("bare_clients", HERE.parent / "processes" / "test_service_fuzz.py")  # for its functions
_load("breakage", HERE / "breakage.py")
_people = _load("people", HERE / "people.py")

bench, commands, wait_until = _processes.bench, _processes.commands, _processes.wait_until


@pytest.fixture
def people(bench):
    """Two people at a service of root; see people.py."""
    with tempfile.TemporaryDirectory(prefix="bm-people-") as folder:
        os.chmod(folder, 0o755)
        made = _people.People(bench, Path(folder))
        made.serve()
        yield made
        assert "Traceback" not in bench.end_service()
