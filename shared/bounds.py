"""How large data from outside may be: calls of clients, job files, configuration files.

The bounds are looked at before the data is worked through, so that no small message costs much time,
memory or a long answer. The number of bytes is bounded earlier: by `limits.message` of the service, or by
`MOST_FILE_BYTES`.
"""

from __future__ import annotations

from collections.abc import Mapping

MOST_FILE_BYTES = 1 << 20
"""Bytes of a file that a person writes."""
MOST_VALUES = 100_000
"""Values in all, however they are nested; also rows of a list in one answer."""
MOST_DEPTH = 50
"""Mappings and lists inside of each other."""
MOST_KEYS = 100
"""Entries of a mapping whose keys are known."""
MOST_AXES = 32
"""Axes of a volume, as many as HDF5 takes."""
MOST_INPUTS = 26
"""Volumes that one operation takes."""
MOST_STEPS = 64
"""Operations that are done one after the other in one pass."""
MOST_JOBS = 10_000
"""Jobs that one call names."""
MOST_PREDECESSORS = 1_000
"""Jobs that one job follows."""
MOST_TEXT = 8_192
"""Characters of one text, such as an address: a path of the system has 4,095 at most."""
MOST_TOKEN = 256
"""Characters of the name of a submission."""
MOST_VERSION = 64
"""Characters of the version of a client or a service."""
MOST_COMPLAINTS = 20
"""Mistakes that are told at a time."""

_SINGLE = frozenset((int, float, str, bool, bytes, type(None)))


def excess_of(data: object) -> str | None:
    """The bound that nested data exceeds, without a recursion.

    Parameters
    ----------
    data : object
        Mappings, lists and tuples are looked into.

    Returns
    -------
    str or None
        In words, such as "is nested more than 50 deep"; None: it is within all bounds.
    """
    values, pending = 0, [(data, 1)]
    while pending:
        value, depth = pending.pop()
        if not isinstance(value, Mapping | list | tuple):
            continue
        if depth > MOST_DEPTH:
            return f"is nested more than {MOST_DEPTH} deep"
        values += len(value)
        if values > MOST_VALUES:
            return f"holds more than {MOST_VALUES} values"
        inside = value.values() if isinstance(value, Mapping) else value
        pending.extend((item, depth + 1) for item in inside if type(item) not in _SINGLE)
    return None
