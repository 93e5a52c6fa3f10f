"""Frees the files of a benchmark in a way that does not slow the next one down."""

from __future__ import annotations

import os
from pathlib import Path


def empty_files(folder: Path) -> None:
    """Free the space of all files in a folder, but keep their names.

    Where thousands of files were removed, ext4 makes new ones ten times as slowly for a minute or more:
    it passes by all inodes that were freed just now, one by one. So files are removed at the very end.
    Their pages are free at once for the next round: in a virtual machine, pages that nobody has used for
    a while may have gone back to the host, and writing to one then takes several times as long.
    """
    for inner, _, names in os.walk(folder):
        for path in (Path(inner, name) for name in names):
            if path.is_file():  # and no socket
                os.truncate(path, 0)
