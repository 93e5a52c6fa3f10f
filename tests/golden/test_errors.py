"""What people are told who make a mistake: exact text on stderr, and exit code."""

import importlib.util
import re
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("mistakes", Path(__file__).with_name("mistakes.py"))
mistakes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mistakes)


def carried_out(case, folder, commands):
    """The last command of a case; those before it went well."""
    for name, text in case.files.items():
        (folder / name).write_text(text)
    for step in case.before:
        if callable(step):
            step(folder)
        else:
            ended = commands.run(*step, folder=folder)
            assert ended.code == 0, (step, ended)
    return commands.run(*case.args, folder=folder, stdin=case.stdin, environ=case.environ)


def written(case, ended, folder, plain):
    words = " ".join(f"'{word}'" if " " in word or not word else word for word in case.args)
    told = plain(ended.err, folder)
    if case.words_of_click:
        told = re.sub(r"\nError: .*", "\nError: (in click's words)", told)
    lines = [f"=== {case.title}", f"$ blockmill {words}", *told.splitlines()]
    return "\n".join([*lines, f"-> {ended.code}"]) + "\n"


@pytest.mark.parametrize("kind", mistakes.KINDS)
def test_mistakes_are_told_as_ever(golden, commands, fresh, plain, kind):
    text = ""
    for case in mistakes.KINDS[kind]:
        folder = fresh()
        ended = carried_out(case, folder, commands)
        assert "Traceback" not in ended.err, (case.title, ended.err)
        text += written(case, ended, folder, plain)
    golden(f"mistakes-{kind}.txt", text)


def test_mistakes_that_a_service_tells_are_told_as_ever(golden, commands, service, fresh, plain):
    text = ""
    for case in mistakes.OF_A_SERVICE:
        folder = fresh()
        ended = carried_out(case, folder, commands)
        assert "Traceback" not in ended.err, (case.title, ended.err)
        text += written(case, ended, folder, plain)
    golden("mistakes-service.txt", text)
