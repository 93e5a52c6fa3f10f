"""Make the table of verbs that the command's help prints, so that it needs to import none of them.

python tools/summaries.py           write the file
python tools/summaries.py --check   say whether it is as it should be; exit code 1 if not
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from blockmill.client.cli.groups import Command, Group
from blockmill.client.cli.main import cli

FILE = Path(__file__).parent.parent / "client" / "cli" / "summaries.py"
_HEAD = '''"""Heading and summary of each verb in the command's help; `make summaries` makes this file."""

SUMMARIES = {
'''
_LONGEST = 200


def lines(group: click.Group, section: str = "", above: str = "") -> Iterator[str]:
    """Yield a line of the table for each verb; for a folder of verbs, one for each of them."""
    for name, command in sorted(group.commands.items()):
        assert isinstance(command, Command)
        words, heading = f"{above}{name}", section or command.section
        if isinstance(command, Group) and command.is_folder:
            yield from lines(command, heading, f"{name} ")
        else:
            summary = command.get_short_help_str(_LONGEST)
            quoted = f"'{summary}'" if '"' in summary else f'"{summary}"'
            yield f'    "{words}": ("{heading}", {quoted}),\n'


def text() -> str:
    """The content of the file."""
    return f"{_HEAD}{''.join(lines(cli))}}}\n"


def main() -> int:
    """Write or check the file; return the exit code."""
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text())
    elif FILE.read_text() != text():
        print(f"{FILE} is not what the verbs say: run `make summaries`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
