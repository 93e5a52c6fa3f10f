"""Completion in real shells: verbs, options, files and the numbers of jobs that the service knows."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest

ASK_BASH = """
source <(blockmill completions bash)
complete -p blockmill >&2
COMP_WORDS=({words} "$LAST")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_blockmill_completion blockmill
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def complete(bench):
    """What bash offers behind some words, the last of which is begun."""
    command = bench.folder / "bin" / "blockmill"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m blockmill "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}:{os.environ['PATH']}"

    def ask(line):
        *words, last = line.split(" ")
        result = subprocess.run(
            ["bash", "--norc", "-c", ASK_BASH.format(words=" ".join(words))],
            env={**os.environ, **bench.environ, "PATH": path, "LAST": last},
            cwd=bench.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.stderr == "complete -o nosort -F _blockmill_completion blockmill\n"
        return result.stdout.split()

    return ask


def test_verbs_and_options_are_completed(complete):
    assert complete("blockmill sub") == ["submit"]
    assert complete("blockmill keys re") == ["revoke"]
    assert "--failed" in complete("blockmill retry --")
    assert complete("blockmill completions z") == ["zsh"]
    assert complete("blockmill apply g") == ["gaussian"]
    assert complete("blockmill apply gaussian in.npy out.npy s") == ["sigma="]
    assert complete("blockmill apply scipy.ndimage:median_filter in.npy out.npy s") == []


def test_without_a_service_there_are_no_numbers_and_no_words(complete):
    assert complete("blockmill status ") == []


def test_numbers_and_names_are_of_jobs_that_the_verb_can_do_something_with(bench, complete):
    bench.volume()
    bench.serve()
    quick = bench.submit(bench.job("quick.yaml", input="in.npy", output="q.npy", operation={"copy": {}}))
    with bench.client() as client:
        client.wait(quick)
    slow = bench.submit(bench.gated_job())
    assert set(complete("blockmill status ")) == {str(quick), str(slow), "quick", "job"}
    assert complete("blockmill cancel ") == [str(slow), "job"]
    assert complete("blockmill cancel jo") == ["job"]
    assert complete("blockmill rm ") == [str(quick), "quick"]
    assert complete(f"blockmill wait {slow} quick ") == [str(quick), "job"]
    assert complete(f"blockmill --version status {slow}") == [str(slow)]
    bench.open_gate()
    bench.end_service()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_their_scripts(bench, shell):
    if not (program := shutil.which(shell)):
        pytest.skip(f"{shell} is not installed")
    script = bench.folder / f"blockmill.{shell}"
    script.write_text(bench.run("completions", shell)[0])
    subprocess.run([program, "-n", str(script)], check=True, timeout=60)


def test_each_shells_script_asks_the_command(bench):
    for shell in ("bash", "zsh", "fish"):
        assert f"_BLOCKMILL_COMPLETE={shell}_complete" in bench.run("completions", shell)[0]
    assert 'string split --max 1 ","' in bench.run("completions", "fish")[0]  # a description may have commas
