"""The interface of reducers: they add up the records of blocks, one at a time, into a table."""

from __future__ import annotations

from typing import Any, Protocol

Table = dict[str, Any]
"""A table as plain JSON: columns by their names, each a value or a list of values."""


class Reducer(Protocol):
    """Adds up records. The order in which they come does not change the table."""

    def add(self, block: int, record: bytes) -> None:
        """Add the record of a block; once a block.

        Parameters
        ----------
        block : int
        record : bytes
            As the kernel made it.

        Raises
        ------
        ValueError
            If it is no such record.
        """

    def table(self) -> Table:
        """The table of all records so far."""
        ...

    def state(self) -> bytes:
        """All that was added, for `load`."""
        ...

    def load(self, state: bytes) -> None:
        """Take up a state instead of adding the records behind it again.

        Raises
        ------
        ValueError
            If it is none.
        """
