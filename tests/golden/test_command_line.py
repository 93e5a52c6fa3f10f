"""Verbs, their options, and the exit codes of the command line."""

import re

import pytest

OPTION = re.compile(r"  (-\S.*?)(?:\s{2,}|$)")
ENTRY = re.compile(r"  ([a-z]\S*(?: [a-z]\S*)?)(?:\s{2,}|$)")


class Help:
    """What ``--help`` of one verb says, taken apart."""

    def __init__(self, text):
        head, _, rest = text.partition("\n\n")
        self.usage = " ".join(head.split())
        self.options, self.groups = [], {}
        heading = ""
        for line in rest.splitlines():
            if re.fullmatch(r"\S.*:", line):
                heading = line.removesuffix(":")
            elif found := OPTION.match(line):
                self.options.append(found[1])
            elif heading and heading != "Options" and (found := ENTRY.match(line)):
                self.groups.setdefault(heading, []).append(found[1])


@pytest.fixture(scope="module")
def helps(commands):
    """The help of the command and of all its verbs, by their words."""
    found = {}

    def read(*words):
        if words in found:
            return
        ended = commands.run(*words, "--help", folder=commands.base)
        assert (ended.code, ended.err) == (0, "")
        found[words] = Help(ended.out)
        for verb in sorted(v for verbs in found[words].groups.values() for v in verbs):
            for length in range(1, len(verb.split()) + 1):  # a verb of a group is listed with its group
                read(*words, *verb.split()[:length])

    read()
    return found


def test_verbs_with_arguments_and_options(golden, helps):
    lines = []
    for read in helps.values():
        lines += [read.usage.removeprefix("Usage: "), *(f"    {option}" for option in sorted(read.options))]
    golden("verbs.txt", "\n".join(lines) + "\n")


def test_groups_of_verbs_in_the_help(golden, helps):
    lines = []
    for words, read in helps.items():
        if read.groups:
            lines.append(" ".join(("blockmill", *words)))
        for heading, verbs in read.groups.items():
            lines += [f"    {heading}", *(f"        {verb}" for verb in verbs)]
    golden("help-groups.txt", "\n".join(lines) + "\n")


def test_files_that_man_and_service_install_write(golden, commands, fresh):
    folder = fresh()
    lines = []
    units = [("service", "install", f"--{whose}", "--root", whose, "--command", "/usr/bin/blockmill")
             for whose in ("user", "system")]  # fmt: skip
    for args in (("man", "-o", "man"), *units):
        before = set(folder.rglob("*"))
        ended = commands.run(*args, folder=folder, environ={"XDG_CONFIG_HOME": "/home/me/.config"})
        assert ended.code == 0, ended.err
        made = sorted(str(p.relative_to(folder)) for p in set(folder.rglob("*")) - before if p.is_file())
        lines += [f"$ blockmill {' '.join(args)}", *(f"    {name}" for name in made)]
    golden("installed-files.txt", "\n".join(lines) + "\n")
