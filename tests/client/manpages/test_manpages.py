"""Manual pages say all that the command and the schemas know, and are right for those who render them."""

import shlex
import shutil
import subprocess

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.client.cli.main import cli
from blockmill.client.manpages.pages import pages
from blockmill.client.manpages.roff import Page
from blockmill.shared.config.model import Config
from blockmill.shared.jobs.job import job_schema

PAGES = {page.file: page for page in pages(cli)}


def rendered(page):
    """A page as plain text, without line breaks; warnings fail."""
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    command = ["groff", "-man", "-Tascii", "-P-cbou", "-ww", "-rLL=2000n", "-rHY=0"]
    result = subprocess.run(command, input=str(page), capture_output=True, text=True, check=True, timeout=60)
    assert not result.stderr, page
    return " ".join(result.stdout.split())


def commands(group, path="blockmill"):
    yield path, group
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, f"{path}-{name}")


@pytest.mark.parametrize("path, command", [pytest.param(*each, id=each[0]) for each in commands(cli)])
def test_each_verb_has_a_page_with_all_its_options(path, command):
    text = rendered(PAGES[f"man1/{path}.1"])
    assert " ".join(command.help.split()).replace("\b ", "") in text
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert max(parameter.opts, key=len) in text
            assert " ".join((parameter.help or "").split()) in text


def keys(model, at=""):
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from keys(field.annotation, f"{at}{name}.")
        yield f"{at}{name}", field


def test_each_key_of_the_configuration_is_told_with_its_meaning():
    text = rendered(PAGES["man5/blockmill-config.5"])
    for path, field in keys(Config):
        assert f" {path} (" in text
        if field.description:
            assert " ".join(field.description.split()) in text
    assert "limits.queue (whole number at least 1; default: 10000)" in text
    assert "tcp.listen (text)" in text


def test_each_key_of_a_job_is_told_with_type_and_default():
    text = rendered(PAGES["man5/blockmill-job.5"])
    for name in job_schema()["properties"]:
        assert f" {name} (" in text
    assert 'on_error ("fail" or "finish"; default: "fail") A block that failed in its last attempt' in text
    assert "operation.gaussian.sigma (number at least 0" in text
    assert "``" not in text


def test_the_page_of_the_service_has_the_options_of_serve():
    text = rendered(PAGES["man8/blockmill.8"])
    assert "--worker-memory SIZE" in text and "SIGHUP" in text


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30))
def test_text_comes_back_letter_by_letter(text):
    page = Page("x", 1, "y", "0")
    page.text(text)
    page.item(text, text)
    (line, *_) = [line for line in str(page).splitlines()[3:] if line != ".PP"]
    assert not line.startswith((".", "'"))
    plain = line.removeprefix("\\&")
    for escaped, letter in (("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\e", "\\")):
        plain = plain.replace(escaped, letter)
    assert plain == text


def test_a_term_is_rendered_as_it_is():
    page = Page("x", 1, "y", "0")
    page.item(".hidden\\n'\"-", "...and 'so' on")
    assert ".hidden\\n'\"- ...and 'so' on" in rendered(page)
    page.text("M\u00fcller")
    assert "M\\[u00FC]ller" in str(page)


def test_the_command_to_read_them_is_one_for_the_shell(tmp_path):
    from click.testing import CliRunner

    folder = tmp_path / "my pages"
    result = CliRunner().invoke(cli, ["man", "-o", str(folder)])
    assert shlex.split(result.output)[-3:] == ["-M", str(folder), "blockmill"]


def test_the_command_writes_them_all(tmp_path):
    from click.testing import CliRunner

    result = CliRunner().invoke(cli, ["man", "-o", str(tmp_path)])
    assert result.exit_code == 0
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.[158]")}
    assert written == set(PAGES)
