"""The public names: one list of homes, the stub that types them, and ``__all__`` say the same."""

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import blockmill
from blockmill.shared import errors

STUB = Path(blockmill.__file__).with_suffix(".pyi")


def homes_in_the_stub():
    tree = ast.parse(STUB.read_text())
    homes = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
        if alias.asname == alias.name  # without the `as`, a stub keeps a name to itself
    }
    variables = {node.target.id: None for node in tree.body if isinstance(node, ast.AnnAssign)}
    return homes | variables


def test_the_stub_types_each_public_name_from_its_home():
    assert homes_in_the_stub() == {**blockmill._HOMES, "__version__": None}


def test_all_lists_each_name_once():
    assert blockmill.__all__ == sorted({*blockmill._HOMES, "__version__"})
    assert len(blockmill._HOMES) == sum(len(names.split()) for names in blockmill._NAMES.values())


def test_each_name_is_found_and_is_shown_by_dir():
    for name in blockmill.__all__:
        assert getattr(blockmill, name) is not None
    assert dir(blockmill) == blockmill.__all__


def test_the_help_of_the_package_shows_the_public_names_and_no_others():
    code = "import blockmill, pydoc; print(pydoc.plain(pydoc.render_doc(blockmill)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kinds = [name for name in blockmill.__all__ if inspect.isclass(getattr(blockmill, name))]
    missing = [name for name in kinds if f"class {name}(" not in done.stdout]
    assert missing == []
    assert "importlib" not in done.stdout


def test_every_error_that_is_raised_on_purpose_is_public():
    kinds = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(kinds) > 15
    assert [kind.__name__ for kind in kinds if getattr(blockmill, kind.__name__, None) is not kind] == []


def test_a_name_that_is_not_public_is_refused():
    try:
        blockmill.no_such_name  # noqa: B018
    except AttributeError as error:
        assert str(error) == "module 'blockmill' has no attribute 'no_such_name'"
    else:
        raise AssertionError("no error")


def test_the_import_and_dir_of_the_package_load_no_other_module():
    code = (
        "import blockmill, sys; dir(blockmill); blockmill.__all__\n"
        "print(sorted(name for name in sys.modules if name.startswith(('numpy', 'h5py', 'blockmill'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['blockmill']"


def test_the_stub_is_shipped_with_the_package():
    project = tomllib.loads((STUB.parent / "pyproject.toml").read_text())
    assert {STUB.name, "py.typed"} <= set(project["tool"]["setuptools"]["package-data"]["blockmill"])
