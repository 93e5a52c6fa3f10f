import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in the background of a shell; commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

_PROCESSES = tuple(
    f"tests/{folder}/" for folder in ("breaking", "fixtures", "golden", "processes", "systemd")
)
_TOGETHER = ("tests/golden/", "tests/fixtures/test_outputs.py")
"""Tests that share a service are done in one process; xdist begins with the longest groups."""

_BREAKING = (
    "tests/breaking/",
    "tests/daemon/engine/test_engine.py",
    "tests/daemon/executors/local/test_full_sockets.py",
    "tests/daemon/journal/test_journal.py",
    "tests/processes/test_checked_inputs.py",
    "tests/processes/test_filelock_contention.py",
    "tests/processes/test_fileset_kill.py",
    "tests/processes/test_interrupted.py",
    "tests/processes/test_journal_kill.py",
    "tests/processes/test_no_locks.py",
    "tests/processes/test_other_containers.py",
    "tests/processes/test_overwrite.py",
    "tests/processes/test_powercut.py",
    "tests/processes/test_refusals.py",
    "tests/processes/test_service_fuzz.py",
    "tests/processes/test_service_kills.py",
    "tests/processes/test_service_people.py",
    "tests/processes/test_starts.py",
    "tests/shared/files/test_refusals.py",
    "tests/shared/jobs/test_yaml_file.py",
    "tests/shared/locking/test_filelock.py",
    "tests/shared/volumes/blockwise/test_powercut.py",
)
"""Tests that break something on purpose, which `make break` selects."""


def _load(name):
    """Load a module of helpers from this folder, which is no package; tests then import it by its name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_commands = _load("forked_commands")
_load("small_disks")

# How fast a machine is, and what else it does, is no property of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


_FRESH = "--fresh-interpreters"


def pytest_addoption(parser):
    parser.addoption(
        _FRESH, action="store_true", help="start an interpreter for each command instead of forking a process"
    )


@pytest.fixture(scope="session")
def new_commands(pytestconfig):
    """Makes what runs commands of blockmill: `new_commands(environ)`, see forked_commands.py."""
    kind = _commands.FreshCommands if pytestconfig.getoption(_FRESH) else _commands.ForkedCommands
    made = []

    def make(environ):
        made.append(kind(environ))
        return made[-1]

    yield make
    for commands in made:
        commands.close()


def pytest_itemcollected(item):
    if item.nodeid.startswith(_PROCESSES):
        item.add_marker("processes")
    if item.nodeid.startswith(_BREAKING):
        item.add_marker("breaking")
    for together in _TOGETHER:
        if item.nodeid.startswith(together):
            item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of shared material (data sets that the original wrote), which users may lack."""
    named = os.environ.get("BLOCKMILL_SHARED")
    path = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (path / "fixtures").is_dir():
        pytest.skip(f"there is no {path}/fixtures; set BLOCKMILL_SHARED to where the shared folder lies")
    return path


@pytest.fixture
def run_server():
    """Runs servers, each in a thread of its own, until the test is over: `run_server(server)`."""
    running = []

    def run(server):
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return server

    yield run
    for server, thread in reversed(running):  # one that hands on to another ends before it
        server.stop()
        thread.join()
