"""The copy of the description in each block directory, for people who look around there."""

from __future__ import annotations

import contextlib
import os

from ...files.atomic import write_new


class DescriptionCopy:
    """A small file that is the same in each of many directories.

    The copies are names of one file as far as the file system goes along: a file of its own in
    each directory would cost as much as the status of the block.

    Parameters
    ----------
    name : str
        Name of the file.
    content : bytes
    """

    def __init__(self, name: str = "", content: bytes = b"") -> None:
        self.name = name
        self._content = content
        self._latest = ""

    def put(self, directory: str) -> None:
        """Put the file into a directory; one that is there already stays.

        Raises
        ------
        OSError
            If it can't be written.
        """
        path = f"{directory}/{self.name}"
        with contextlib.suppress(FileExistsError):
            if not self._linked(path):
                write_new(path, self._content)
                self._latest = path

    def _linked(self, path: str) -> bool:
        if not self._latest:
            return False
        try:
            os.link(self._latest, path)
        except FileExistsError:
            raise
        except OSError:
            return False  # the former is gone, or has as many names as a file may have
        return True
