"""The client for threads is what the one for asyncio gives."""

import importlib.util
import inspect
from pathlib import Path

import pytest

from blockmill.client.service.async_client import AsyncClient
from blockmill.client.service.client import Client

PATH = Path(__file__).parents[2] / "tools" / "unasync.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("unasync", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_up_to_date(tool, monkeypatch):
    monkeypatch.setattr("sys.argv", ["unasync", "--check"])
    assert tool.main() == 0


def test_a_file_that_was_changed_by_hand_is_told_and_written_anew(tool, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tool, "FOLDER", tmp_path)
    monkeypatch.setattr(tool, "FILES", {"a.py": "s.py"})
    (tmp_path / "a.py").write_text("async def f():\n    await g()\n")
    (tmp_path / "s.py").write_text("def f():\n    h()\n")
    monkeypatch.setattr("sys.argv", ["unasync", "--check"])
    assert tool.main() == 1
    assert "change a.py" in capsys.readouterr().out
    assert (tmp_path / "s.py").read_text() == "def f():\n    h()\n"
    monkeypatch.setattr("sys.argv", ["unasync"])
    assert tool.main() == 0
    first, *rest = (tmp_path / "s.py").read_text().splitlines()
    assert "Made by tools/unasync.py from a.py" in first
    assert rest == ["def f():", "    g()"]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("x = (await f(a, (b))).job\n", "x = f(a, (b)).job\n"),
        ("return (await f()).job\n", "return f().job\n"),
        ("return list((await f()).jobs)\n", "return list(f().jobs)\n"),
        ("g(await f())\n", "g(f())\n"),
        ("if not await f():\n    pass\n", "if not f():\n    pass\n"),
        ("async with AsyncClient(s) as c:\n    pass\n", "with Client(s) as c:\n    pass\n"),
        ("await asyncio.sleep(1)  # await\n", "time.sleep(1)  # await\n"),
        ("s: zmq.asyncio.Socket = 'await'\n", "s: zmq.Socket = 'await'\n"),
    ],
)
def test_only_what_asyncio_needs_goes(tool, text, made):
    assert tool.unasync(text, "a.py").split("\n", 1)[1] == made


def test_no_text_is_replaced_that_is_not_there(tool):
    sources = "".join((tool.FOLDER / name).read_text() for name in tool.FILES)
    assert [text for text in tool.TEXTS if text not in sources] == []


def test_both_clients_have_the_same_verbs():
    def verbs(kind):
        return {
            name: (list(inspect.signature(member).parameters), inspect.getdoc(member))
            for name, member in vars(kind).items()
            if callable(member) and not name.startswith("__")
        }

    assert verbs(Client) == verbs(AsyncClient)
    assert "asyn" not in (inspect.getdoc(Client) or "")
