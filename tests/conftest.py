import importlib.util
import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_PROCESSES = tuple(f"tests/{folder}/" for folder in ("fixtures", "golden", "processes", "systemd"))
_TOGETHER = ("tests/golden/", "tests/fixtures/test_outputs.py")
"""Tests that share a service are done in one process; xdist begins with the longest groups."""

_path = Path(__file__).with_name("forked_commands.py")
_spec = importlib.util.spec_from_file_location("forked_commands", _path)
_commands = sys.modules["forked_commands"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_commands)

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
