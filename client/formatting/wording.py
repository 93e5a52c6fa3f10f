"""Wording for people."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number of things: "1 block", "2 blocks"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
