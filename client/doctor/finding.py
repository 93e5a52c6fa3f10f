"""The result of a check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]
_COLOURS = {"ok": "32", "warn": "33", "fail": "31"}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: how it is, and what to do next where it is not well."""

    check: str
    level: Level
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", text)


def warn(check: str, text: str, advice: str) -> Finding:
    """It works, though not always or not well."""
    return Finding(check, "warn", text, advice)


def fail(check: str, text: str, advice: str) -> Finding:
    """It does not work, or data are at risk."""
    return Finding(check, "fail", text, advice)


def as_lines(findings: Iterable[Finding], *, colour: bool = False) -> list[str]:
    """Findings for people, what to do next below each that is not well."""
    lines = []
    for finding in findings:
        mark = f"{finding.level:<4}"
        if colour:
            mark = f"\x1b[{_COLOURS[finding.level]}m{mark}\x1b[0m"
        first, *more = finding.text.splitlines() or [""]
        lines.append(f"{mark}  {finding.check}: {first}")
        lines += [f"      {line}" for line in more]
        if finding.advice:
            lines.append(f"      -> {finding.advice}")
    return lines
