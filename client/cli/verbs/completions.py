"""``blockmill completions``: the scripts with which shells complete the command."""

from __future__ import annotations

import click

from ...formatting.output import say
from ..groups import MACHINE, verb

_VARIABLE = "_BLOCKMILL_COMPLETE"  # with it in its environment the command completes (click's convention)
_EPILOG = """\b
bash: blockmill completions bash > ~/.local/share/bash-completion/completions/blockmill
zsh:  blockmill completions zsh > DIR/_blockmill, where DIR is in $fpath
fish: blockmill completions fish > ~/.config/fish/completions/blockmill.fish"""


@verb(MACHINE, short_help="Print the script with which a shell completes the command.", epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print the script with which a shell completes verbs, options, files, numbers and names of jobs."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click.Choice has seen to that
    script = kind(context.find_root().command, {}, "blockmill", _VARIABLE).source()
    # Click's script for fish takes the comma in a description for the end of it.
    say(script.replace('string split "," ', 'string split --max 1 "," '))
    return 0
