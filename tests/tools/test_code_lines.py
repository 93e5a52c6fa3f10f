"""What counts as a line of code."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import code_lines
    finally:
        sys.path.pop(0)
    return code_lines


def check(tool, count, source):
    assert tool.code_lines(dedent(source)) == count


def test_blanks_and_comments_count_nothing(tool):
    check(tool, 2, "# told\n\nx = 1  # here\n\n    # and there\ny = 2\n")
    check(tool, 0, "")
    check(tool, 0, "\n\n# nothing\n")


def test_docstrings_count_nothing_wherever_they_stand(tool):
    check(
        tool,
        5,
        '''
        """A module.

        Of two paragraphs.
        """

        LIMIT = 3
        """What it is for."""


        class A:
            "One line."

            async def f(self):
                r"""Raw,

                and long.
                """
                return 1

            def g(self): "Beside its head."
        ''',
    )


def test_documentation_joined_from_parts_counts_nothing(tool):
    check(tool, 1, 'def f():\n    "one " \\\n    "two"\n')


def test_a_text_that_is_a_value_counts_whole(tool):
    check(
        tool,
        6,
        '''
        STEPS = """
        # no comment

        def f(): ...
        """
        x = 1
        ''',
    )
    check(tool, 3, 'x = f"""{1}\n\n{2}"""\n')


def test_a_statement_counts_each_line_that_holds_a_part_of_it(tool):
    check(tool, 4, "f(\n    1,\n    # of the second\n\n    2,\n)\n")
    check(tool, 2, "x = 1 + \\\n    2\n")


def test_decorators_and_empty_bodies_are_code(tool):
    check(tool, 5, "@first\n@second(\n    3,\n)\ndef f(): ...\n")


def test_an_argument_on_a_line_of_documentation_is_code(tool):
    check(tool, 1, "def f(a='x'): 'told'\n")


@pytest.fixture
def checkout(tmp_path):
    def make(name, **files):
        for path, text in {"shared/__init__.py": "", **files}.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / name

    return make


def test_sums_of_packages_top_folders_and_inits(tool, checkout):
    files = {
        "__init__.py": "a = 1\nb = 2\n",
        "daemon/__init__.py": "a = 1\n",
        "daemon/one.py": "a = 1\nb = 2\n\n# no\n",
        "daemon/local/two.py": "a = 1\n",
        "tests/test_one.py": "a = 1\n",
    }
    sums = tool.by_package(tool.count_files(checkout("new", **files)))
    assert sums == {
        "(root)": 2,
        "shared/": 0,
        "shared/**": 0,
        "daemon/": 3,
        "daemon/local/": 1,
        "daemon/**": 4,
        "__init__.py of all": 3,
        "total": 6,
    }


def test_two_checkouts_are_compared_by_name(tool, checkout, capsys):
    old = checkout("old", **{"daemon/gone.py": "a = 1\nb = 2\n"})
    new = checkout("new", **{"daemon/local/came.py": "a = 1\n"})
    assert tool.main([str(new), "--compare", str(old)]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    assert rows["daemon/"] == ["2", "0", "-2"]
    assert rows["daemon/local/"] == ["0", "1", "+1"]
    assert rows["daemon/**"] == ["2", "1", "-1"]
    assert rows["total"] == ["2", "1", "-1"]
    assert tool.main([str(new), "--compare", str(old), "--files"]) == 0
    assert "daemon/gone.py" in capsys.readouterr().out


def test_the_error_names_what_is_no_checkout_and_no_python(tool, checkout, tmp_path):
    with pytest.raises(SystemExit, match=r"no folder shared/ in it; name a checkout"):
        tool.count_files(tmp_path)
    with pytest.raises(SystemExit, match=r"shared.bad\.py: no Python"):
        tool.count_files(checkout("bad", **{"shared/bad.py": "def"}))
