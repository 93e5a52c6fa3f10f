"""Test if the account of a service can run this command."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ...shared.errors import BlockmillError, Refused


def own_path() -> str:
    """Return the path of the running command.

    Raises
    ------
    BlockmillError
        If it is not on the PATH.
    """
    command = shutil.which(sys.argv[0]) or shutil.which("blockmill")
    if command is None:
        raise BlockmillError("the command blockmill is not on the PATH; name it with --command")
    return str(Path(command).absolute())


def check_reachable(*paths: Path) -> None:
    """Check that the service's account can run the command; it can't if Python lies in somebody's home.

    Raises
    ------
    Refused
        Naming the first folder that not everybody may enter.
    """
    for path in paths:
        for folder in path.parents:
            if folder.exists() and not folder.stat().st_mode & 0o001:
                raise Refused(
                    f"{path} is needed to run blockmill, and only some may enter {folder}; install it for "
                    "everybody, such as: python3 -m venv /opt/blockmill && "
                    "/opt/blockmill/bin/pip install blockmill && "
                    "/opt/blockmill/bin/blockmill service install --system"
                )
