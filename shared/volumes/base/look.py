"""A look at what lies on the disk at an address, shared by all formats that may know it."""

from __future__ import annotations

import os
from functools import cached_property
from itertools import islice

from ...errors import BlockmillError
from ...files.json_file import read_json
from .suffixes import first_file

_HEAD_BYTES = 512
_ENOUGH_ENTRIES = 10_000


class Look:
    """What lies at a path. Each question is put to the disk once, when a format first asks it.

    Parameters
    ----------
    path : str
        As the address has it; it may go on inside a file: ``f.h5/volume/data``.

    Attributes
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def cut(self) -> tuple[str, str] | None:
        """The first part of the path that is a regular file, and the rest; None if no part is one."""
        return first_file(self.path)

    @property
    def file(self) -> str:
        """The file on the path; the whole path if there is none."""
        return self.path if self.cut is None else self.cut[0]

    @property
    def rest(self) -> str:
        """The path inside the file; empty, or it begins with a slash."""
        return "" if self.cut is None else self.cut[1]

    @cached_property
    def head(self) -> bytes:
        """The first 512 bytes of the file; empty if there is none, or it can't be read."""
        if self.cut is None:
            return b""
        try:
            with open(self.cut[0], "rb") as file:  # noqa: PTH123 - a Path costs more than the system call
                return file.read(_HEAD_BYTES)
        except OSError:  # its opening says why
            return b""

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of entries of the folder at the path, of many the first 10,000; empty if it is none."""
        if self.cut is not None:
            return frozenset()
        try:
            with os.scandir(self.path) as entries:
                return frozenset(entry.name for entry in islice(entries, _ENOUGH_ENTRIES))
        except OSError:
            return frozenset()

    @cached_property
    def schema(self) -> object:
        """The ``_schema_name`` of a description, a file ``x.json``; None if it is none, or names none."""
        if self.cut is None or self.rest or not self.path.endswith(".json"):
            return None
        try:
            return next((value for key, value in read_json(self.path) if key == "_schema_name"), None)
        except BlockmillError:  # its opening says why
            return None
