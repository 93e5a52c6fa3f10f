"""The format table: rows and columns, for operations whose result is no volume."""

from __future__ import annotations

from typing import ClassVar, Literal

from ...errors import JobError
from ..base.array_volume import ArrayVolume
from ..base.format import Address, Format
from ..base.suffixes import TABLE_SUFFIXES


class Table(Format):
    """Tables, as JSON or as text with commas or tabs. They can't be read as volumes."""

    name = "table"
    writers: ClassVar[Literal["workers", "merger"] | None] = "merger"
    holds_table: ClassVar[bool] = True

    def parse(self, path: str) -> Address | None:
        """``x.stats.json``, ``x.csv``, ``x.tsv``."""
        return Address(self.name, path) if path.endswith(TABLE_SUFFIXES) else None

    def open(self, at: Address) -> ArrayVolume:
        """Refuse it."""
        raise JobError(f"{at.file} is a table, and no volume")
