"""The real place of a file or folder, so that two spellings of one place are known as one."""

from __future__ import annotations

import os
from dataclasses import dataclass

_Id = tuple[int, int]


def absolute(path: str | os.PathLike[str]) -> str:
    """The absolute path that leads where `path` leads; links stay, but for those in front of ``..``.

    ``link/../f`` lies in the folder above the one that the link leads to. `os.path.abspath` would
    give the folder of the link itself, which is another place than the one that the system opens.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str
    """
    text = os.fspath(path)
    head, up, tail = text.rpartition("/../")
    if up:
        text = os.path.join(os.path.realpath(head + "/.."), tail)
    elif text.endswith("/.."):
        text = os.path.realpath(text)
    return os.path.abspath(text)  # noqa: PTH100 - links stay


@dataclass(frozen=True, slots=True)
class Place:
    """A path that may not exist yet, by what the file system says of it.

    Symbolic links are followed; hard links and bind mounts are known by device and inode.

    Attributes
    ----------
    path : str
        As it was given, for messages.
    real : str
        Without links.
    own : (int, int) or None
        Device and inode of what lies there; None where nothing does.
    above : tuple of (int, int)
        Device and inode of each existing folder above, the nearest first.
    """

    path: str
    real: str
    own: _Id | None
    above: tuple[_Id, ...]

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Place:
        """Look a path up."""
        text = os.fspath(path)
        real = os.path.realpath(text)
        own, *above = (_id_of(path) for path in _with_folders_above(real))
        return cls(text, real, own, tuple(one for one in above if one is not None))

    def is_same(self, other: Place) -> bool:
        """Test if both are one file or folder."""
        return self.real == other.real or (self.own is not None and self.own == other.own)

    def is_inside(self, folder: Place) -> bool:
        """Test if this is, or would be, somewhere below `folder`."""
        if self.real.startswith(folder.real.rstrip("/") + "/"):
            return True
        return folder.own is not None and folder.own in self.above

    def child_of(self, folder: Place) -> str:
        """Name of the entry of `folder` that leads here; empty if it is unknown."""
        prefix = folder.real.rstrip("/") + "/"
        return self.real.removeprefix(prefix).partition("/")[0] if self.real.startswith(prefix) else ""


def _with_folders_above(real: str) -> list[str]:
    chain = [real]
    while (parent := os.path.dirname(chain[-1])) != chain[-1]:
        chain.append(parent)
    return chain


def _id_of(path: str) -> _Id | None:
    try:
        facts = os.stat(path)  # noqa: PTH116 - a Path costs more than the system call
    except OSError:  # nothing there, or nothing that we may see: then the name alone counts
        return None
    return facts.st_dev, facts.st_ino
