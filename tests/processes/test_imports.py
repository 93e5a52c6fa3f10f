"""What a verb imports when it begins may come first: commands that are forked would not show a circle."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
THIRD = ("click", "h5py", "msgspec", "numpy", "psutil", "pydantic", "scipy.ndimage", "sqlite3", "yaml", "zmq")
EACH_FIRST = """
import importlib, os, sys, traceback
third, modules = (words.split(",") for words in sys.argv[1:])
for name in third:  # they take the time, and know nothing of ours
    importlib.import_module(name)
assert not any(name.startswith("blockmill.") for name in sys.modules)
for name in modules:
    if (child := os.fork()) == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        print(name, flush=True)
"""


def imported_by_functions(path):
    """Modules of ours that functions of a file import."""
    here = ("blockmill", *path.relative_to(ROOT).with_suffix("").parts)
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = (*here[: len(here) - node.level], *filter(None, (node.module or "").split(".")))
                for alias in node.names:
                    full = ROOT.joinpath(*base[1:], alias.name)
                    is_module = full.with_suffix(".py").exists() or full.is_dir()
                    yield ".".join((*base, alias.name) if is_module else base)


def test_what_a_verb_imports_may_be_imported_first():
    verbs = sorted((ROOT / "client" / "cli").rglob("*.py"))
    modules = sorted({name for path in verbs for name in imported_by_functions(path)})
    assert {"blockmill.daemon.engine.engine", "blockmill.daemon.service.server"} <= set(modules)
    command = [sys.executable, "-c", EACH_FIRST, ",".join(THIRD), ",".join(modules)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
