"""Which files decide what a function of the user's computes."""

import sys

import pytest

from blockmill.shared.jobs import code_files as module
from blockmill.shared.jobs.code_files import code_files


@pytest.fixture
def code(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def write(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('_of_', '/')}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def names(found):
    return sorted(name for name in found.modules if "-packages" not in name)


def test_modules_count_that_the_function_imports_and_no_others(code):
    write(
        code,
        m="import a\nfrom p import b\ndef f(x):\n    import late\n    return x\n",
        a="",
        late="import os, numpy",
        other="",
    )
    write(
        code,
        p_of___init__="",
        p_of_b="from . import c\nfrom .d import x",
        p_of_c="",
        p_of_d="x = 1",
        p_of_e="",
    )
    assert names(code_files("m:f", str(code))) == [
        "a.py",
        "late.py",
        "m.py",
        "p/__init__.py",
        "p/b.py",
        "p/c.py",
        "p/d.py",
    ]


def test_a_change_of_a_module_is_seen_wherever_it_lies(code, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(elsewhere)])
    write(code, m="import far")
    write(elsewhere, far="x = 1")
    before = code_files("m:f", str(code))
    assert str(elsewhere / "far.py") in before.modules
    assert set(before.own) == {str(code / "m.py"), str(elsewhere / "far.py")}
    write(elsewhere, far="x = 2")
    assert code_files("m:f", str(code)).modules != before.modules
    assert code_files("far:f", None).own.keys() == {str(elsewhere / "far.py")}


def test_a_module_in_a_linked_folder_counts(code, tmp_path):
    (tmp_path / "real").mkdir()
    write(tmp_path / "real", deep="x = 1")
    (code / "pkg").symlink_to(tmp_path / "real")
    write(code, m="from pkg import deep")
    before = code_files("m:f", str(code))
    write(tmp_path / "real", deep="x = 2")
    assert code_files("m:f", str(code)) != before


def test_installed_packages_count_by_what_is_imported_of_them():
    found = code_files("scipy.ndimage:median_filter", None)
    assert any(name.endswith("scipy/ndimage/__init__.py") for name in found.modules)
    assert found.own == {}
    assert code_files("math:sqrt", None).modules == {}


def test_broken_and_circular_modules_do_not_stop_the_search(code):
    write(code, m="import a, b", a="import m", b="def (")
    assert names(code_files("m:f", str(code))) == ["a.py", "b.py", "m.py"]
    assert code_files("nothing:f", str(code)).modules == {}


def test_data_files_count_unless_they_are_hidden_or_of_jobs(code):
    write(code, m="")
    for name in ("w.npy", ".hidden", "sub/flat.bin", "__pycache__/m.pyc", "old/.git/x", "in.npy", "out.npy"):
        (code / name).parent.mkdir(exist_ok=True, parents=True)
        (code / name).write_bytes(b"1")
    (code / ".out.npy.blockmill").mkdir()
    (code / ".o.json.blockmill").mkdir()
    (code / "o_blocks").mkdir()
    for name in ("o.json", "o_blocks/b.h5"):
        (code / name).write_bytes(b"1")
    (code / "job.yaml").write_text("{input: a, output: b, operation: copy}")
    (code / "settings.yaml").write_text("level: 3")
    found = code_files("m:f", str(code), outputs=(str(code / "in.npy"),))
    assert sorted(found.data) == ["settings.yaml", "sub/flat.bin", "w.npy"]
    (code / "w.npy").write_bytes(b"2")
    assert code_files("m:f", str(code), outputs=(str(code / "in.npy"),)).data["w.npy"] != found.data["w.npy"]


def test_links_in_a_circle_end(code):
    write(code, m="")
    (code / "again").symlink_to(code)
    (code / "w").write_bytes(b"1")
    assert set(code_files("m:f", str(code)).data) == {"w"}


def test_a_folder_of_very_many_files_is_told_apart(code, monkeypatch):
    monkeypatch.setattr(module, "MOST_DATA_FILES", 3)
    write(code, m="")
    for number in range(4):
        (code / f"{number}.dat").touch()
    found = code_files("m:f", str(code))
    assert found.too_many
    assert not found.data
    assert names(found) == ["m.py"]
