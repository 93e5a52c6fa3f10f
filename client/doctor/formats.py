"""Looks for formats of volumes that are installed and can't be used."""

from __future__ import annotations

from collections.abc import Iterator

from ...shared.volumes.registry import GROUP, unavailable
from .finding import Finding, warn


def check_formats() -> Iterator[Finding]:
    """A warning for each installed format that is not available."""
    for reason in unavailable().values():
        yield warn(
            "formats", reason, f"mend or remove the package that has this entry point of the group {GROUP}"
        )
