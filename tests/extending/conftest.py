"""The fixtures of tests/processes, for toys that run with real workers."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "processes_conftest", Path(__file__).parent.with_name("processes") / "conftest.py"
)
_processes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_processes)
bench, commands, wait_until = _processes.bench, _processes.commands, _processes.wait_until
