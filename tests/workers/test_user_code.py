import importlib
import sys

import pytest

from blockmill.workers.user_code import UserCode


@pytest.fixture(autouse=True)
def as_before():
    before, path, writes = dict(sys.modules), list(sys.path), sys.dont_write_bytecode
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.path[:], sys.dont_write_bytecode = path, writes
    UserCode._modules.clear()
    UserCode._active = None


def folder(tmp_path, name, value):
    made = tmp_path / name
    made.mkdir(exist_ok=True)
    (made / "mine.py").write_text(
        f"value = {value}\ndef late():\n    import other_part\n    return other_part.value\n"
    )
    (made / "other_part.py").write_text(f"value = {value}\n")
    return str(made)


def test_each_job_gets_its_own_modules_of_the_same_name(tmp_path):
    codes = [UserCode(folder(tmp_path, name, value), "") for name, value in (("a", 1), ("b", 2))]
    modules = []
    for code in codes:
        code.activate()
        modules.append(importlib.import_module("mine"))
    assert [module.value for module in modules] == [1, 2]
    for code, module in zip(codes, modules, strict=True):
        code.activate()
        assert importlib.import_module("mine") is module
        assert module.late() == module.value  # what it imports later is its own, too


def test_changed_content_is_imported_anew(tmp_path):
    UserCode(folder(tmp_path, "a", 1), "first").activate()
    assert importlib.import_module("mine").value == 1
    UserCode(folder(tmp_path, "a", 2), "second").activate()
    assert importlib.import_module("mine").value == 2


def test_what_has_ended_leaves_nothing(tmp_path):
    code = UserCode(folder(tmp_path, "a", 1), "")
    before = list(sys.path)
    code.activate()
    importlib.import_module("mine")
    code.forget()
    assert "mine" not in sys.modules
    assert sys.path == before
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mine")
