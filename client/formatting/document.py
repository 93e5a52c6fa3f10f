"""The JSON that verbs print: one document a line, with the number of its schema."""

from __future__ import annotations

import json
from typing import Any

import msgspec

SCHEMA = 1
"""Of all documents that verbs print; a key may be added, none changes its meaning."""


def document(**content: Any) -> str:
    """`content` as one line of JSON, its schema first."""
    return json.dumps({"schema": SCHEMA, **msgspec.to_builtins(content)})
