"""The command's help, and how a verb is found by the name of its module."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from blockmill.client.cli.groups import SECTIONS, Command
from blockmill.client.cli.main import cli
from blockmill.shared.errors import NoSuchJob

HEAVY = ("numpy", "h5py", "zmq", "msgspec", "pydantic", "rich", "yaml", "urllib3", "subprocess", "http")
LOADED_BY_HELP = """
import sys
from blockmill.client.cli.main import cli
cli.main(["--help"], standalone_mode=False)
print([name for name in sys.modules if name.startswith("blockmill.client.cli.verbs.")], file=sys.stderr)
list(cli.commands.values()), list(cli.commands["volume"].commands.values())
print([name for name in sys.argv[1:] if name in sys.modules], file=sys.stderr)
"""


def verbs(group, words=()):
    for name, command in group.commands.items():
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from verbs(command, (*words, name))


VERBS = [pytest.param(words, command, id=" ".join(words)) for words, command in verbs(cli)]


def test_the_help_imports_no_verb_and_verbs_import_nothing_that_takes_time():
    done = subprocess.run(
        [sys.executable, "-c", LOADED_BY_HELP, *HEAVY], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == "[]\n[]\n"
    assert "bug-report" in done.stdout


def test_the_help_has_each_verb_in_a_line_under_a_heading():
    lines = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.splitlines()
    headings = [f"{section}:" for section in SECTIONS]
    assert [line for line in lines if line in headings] == headings
    rest = lines[lines.index(headings[0]) :]
    listed = [line.split("  ")[1] for line in rest if line.startswith("  ") and not line.startswith("   ")]
    for name, command in cli.commands.items():
        assert isinstance(command, Command) and command.section in SECTIONS
        names = [f"{name} {inner}" for inner in command.commands] if name == "volume" else [name]
        assert set(names) <= set(listed)
    assert not [line for line in rest if line.endswith("...")]


@pytest.mark.parametrize(("words", "command"), VERBS)
def test_each_verb_has_its_own_help(words, command):
    done = CliRunner().invoke(cli, [*words, "--help"])
    assert done.exit_code == 0
    assert command.help.split("\n")[0].split()[:3] == done.output.split("\n\n")[1].split()[:3]
    assert command.name == words[-1]


def test_a_name_that_is_no_verb_is_wrong_usage():
    done = CliRunner().invoke(cli, ["stat"])
    assert done.exit_code == 2
    assert "No such command" in done.output
    assert CliRunner().invoke(cli, ["bug_report", "--help"]).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (NoSuchJob("there is no job 7"), 3, "blockmill: there is no job 7\n"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_errors_of_a_verb_become_a_message_and_an_exit_code(monkeypatch, error, code, message):
    def fail(**options):
        raise error

    monkeypatch.setattr("os.open", lambda *arguments: 0)
    monkeypatch.setattr("os.dup2", lambda *fds: None)
    monkeypatch.setattr(cli.commands["ls"], "callback", fail)
    done = CliRunner().invoke(cli, ["ls"])
    assert (done.exit_code, done.output) == (code, message)


@pytest.mark.parametrize(
    ("verb", "message"), [("ls", "interrupted; the job, if there is one, goes on\n"), ("man", "Aborted!\n")]
)
def test_only_verbs_that_ask_a_service_speak_of_jobs_when_interrupted(monkeypatch, verb, message):
    def interrupt(*_, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands[verb], "callback", interrupt)
    done = CliRunner().invoke(cli, [verb])
    assert done.output.strip("\n") == message.strip("\n")
    assert done.exit_code == (130 if verb == "ls" else 1)  # click's own 1 is made 130 by `main`


def test_the_exit_code_of_a_group_with_a_verb_of_its_own_is_that_of_what_was_asked_for(tmp_path):
    socket = ["--socket", str(tmp_path / "none")]
    assert CliRunner().invoke(cli, ["workers", *socket]).exit_code == 4
    assert CliRunner().invoke(cli, ["workers", "set", "2", *socket]).exit_code == 4
    assert CliRunner().invoke(cli, ["workers", "set", "0", *socket]).exit_code == 2
